import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("lightning")
pytest.importorskip("jsonargparse")


@pytest.fixture
def folder(tmp_path):
    """Two stills to train on and one to validate with."""
    rng = np.random.default_rng(0)
    stills = tmp_path / "photos" / "stills"
    stills.mkdir(parents=True)
    for name in ("one.png", "two.png", "held-out.png"):
        noise = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(stills / name)
    (tmp_path / "split.yaml").write_text("stills: [held-out.png]\n")
    return tmp_path


@pytest.fixture
def recipe(folder):
    """A run of a few steps through every kind of decisions."""
    return {
        "output": str(folder / "run"),
        "trainer": {"max_steps": 6, "accelerator": "cpu", "devices": 1, "precision": "bf16-mixed"},
        "model": {
            "overrides": {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9},
            "optimizer": {"name": "muon", "warmup_steps": 1},
        },
        "data": {
            "phases": [
                {"until": 0.34, "patch_size": 32, "batch_size": 2, "decisions": "all"},
                {"until": 0.67, "patch_size": 32, "batch_size": 2, "decisions": "mask"},
                {"until": 0.8, "patch_size": 32, "batch_size": 2, "decisions": "pruned"},
                {"until": 1.0, "patch_size": 64, "batch_size": 2, "decisions": "sampled"},
            ],
            "pool": {
                "folder": str(folder / "photos"),
                "split": str(folder / "split.yaml"),
                "cache": str(folder / "pool"),
                "samples": 4,
                "size": 96,
                "synthesis": {"cutout": 0.0, "clip": 0.0},
            },
            "validation": {"samples": 2, "size": 96},
            "epoch_size": 4,
            "workers": 0,
        },
    }


@pytest.fixture
def arguments(folder, recipe):
    """Writes the recipe, changed as it then is, and names it to the command line."""

    def write(*more):
        (folder / "run.yaml").write_text(yaml.safe_dump(recipe))
        return [f"--config={folder / 'run.yaml'}", *more]

    return write

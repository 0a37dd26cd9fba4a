"""Every run that comes with the project does two steps on trees of a few small pictures."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from unsmear.models import create_model, load_model
from unsmear.training.run import train

CONFIGS = Path(__file__).parents[2] / "configs"
PAPER = CONFIGS / "lmdvit.yaml"
RUNS = {
    "lmdvit": [PAPER],
    "lmdvit-small": [PAPER, CONFIGS / "lmdvit-small.yaml"],
    "lmdvit-tiny": [CONFIGS / "lmdvit-tiny.yaml"],
    "lmdvit-small-grown": [CONFIGS / "lmdvit-tiny.yaml", CONFIGS / "lmdvit-small-grown.yaml"],
    "finetune": [CONFIGS / "finetune.yaml"],
    "lbag": [PAPER, CONFIGS / "lbag.yaml"],
    **{name: [CONFIGS / f"{name}.yaml"] for name in ("saphn", "saphn-short", "dmphn", "srn")},
    **{path.stem: [PAPER, path] for path in sorted((CONFIGS / "variants").glob("*.yaml"))},
}
SMALL = [
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.max_steps=2",
    "--data.phases=[{patch_size: 64, batch_size: 2}]",
    "--data.epoch_size=4",
    "--data.workers=0",
    "--data.validation.samples=1",
    "--data.validation.size=64",
]
LEAST = {
    "lmdvit": {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9},
    "saphn": {"widths": [4, 4, 8], "maps": 2},
    "dmphn": {"embed_dim": 2},
    "srn": {"embed_dim": 2, "blocks": 1, "kernel_size": 3},
    "lbag": {"embed_dim": 4, "blocks": 1},
}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def trees(tmp_path, monkeypatch):
    """The data sets where the shipped runs look for them."""
    rng = np.random.default_rng(0)

    def picture(path, mask=False):
        path = tmp_path / "data" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (64, 72, 3), dtype=np.uint8)
        Image.fromarray((pixels[..., 0] > 99) * np.uint8(255) if mask else pixels).save(path)

    for split in ("train", "test"):
        for number in ("01", "02"):
            for kind in ("blur", "sharp"):
                picture(f"ReLoBlur/dataset/{split}/scene/{number}/{number}_{kind}.png")
                picture(f"GoPro/{split}/GOPR1/{kind}/0000{number}.png")
            picture(f"ReLoBlur/masks/{split}/scene/{number}/{number}.png", mask=True)
    for kind in ("blur", "sharp", "mask"):
        for name in ("one", "two"):
            picture(f"mine/{name}_{kind}.png", kind == "mask")
    for name in ("one", "two", "held-out"):
        path = tmp_path / "data" / "train" / "stills" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/validation_split.yaml").write_text("stills: [held-out.png]\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", RUNS)
def test_it_runs(name, trees, tmp_path):
    layers = [yaml.safe_load(path.read_text()) for path in RUNS[name]]
    overrides, wanted = {}, "lmdvit"
    for layer in layers:
        overrides = layer.get("model", {}).get("overrides", overrides)
        wanted = layer.get("model", {}).get("network", wanted)
    least = LEAST[wanted.split("-")[0]]
    sizes = {} if name == "finetune" else {"overrides": overrides | least}
    layer = {"model": sizes}
    if "pool" in layers[0].get("data", {}):
        layer["model"]["init"] = None
        stills_only = {"cutout": 0.0, "clip": 0.0}
        layer["data"] = {"pool": {"samples": 2, "size": 64, "synthesis": stills_only}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(layer))
    files = [f"--config={path}" for path in [*RUNS[name], tmp_path / "small.yaml"]]
    network = load_model(train([*files, *SMALL]))
    assert type(network) is type(create_model(wanted, **least))
    config = network.config
    expected = {key: tuple(v) if isinstance(v, list) else v for key, v in overrides.items()}
    assert {key: getattr(config, key) for key in expected if key not in least} == {
        key: value for key, value in expected.items() if key not in least
    }

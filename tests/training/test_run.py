import dataclasses
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

pytest.importorskip("lightning")

from unsmear.models import load_model
from unsmear.models.weights import read_checkpoint
from unsmear.training import load_config
from unsmear.training.module import Deblurring
from unsmear.training.run import train


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
        "model": "lmdvit-tiny",
        "overrides": {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9},
        "output": str(folder / "run"),
        "steps": 6,
        "optimizer": "muon",
        "device": "cpu",
        "warmup_steps": 1,
        "phases": [
            {"until": 0.34, "patch_size": 32, "batch_size": 2, "decisions": "all"},
            {"until": 0.67, "patch_size": 32, "batch_size": 2, "decisions": "mask"},
            {"until": 1.0, "patch_size": 64, "batch_size": 2, "decisions": "sampled"},
        ],
        "data": {
            "folder": str(folder / "photos"),
            "validation_split": str(folder / "split.yaml"),
            "cache": str(folder / "pool"),
            "samples": 4,
            "sample_size": 96,
            "epoch_size": 4,
            "validation_samples": 2,
            "validation_size": 96,
            "workers": 0,
            "synthesis": {"cutout": 0.0, "clip": 0.0},
        },
    }


def config_of(folder, recipe):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return load_config(path)


@pytest.mark.filterwarnings("ignore")
def test_a_run_trains_validates_and_exports(folder, recipe):
    config = config_of(folder, recipe)
    path = train(config)
    network = load_model(path)
    assert network.config.embed_dim == 4
    metadata = read_checkpoint(path)[1]
    assert json.loads(metadata["unsmear.recipe"])["steps"] == 6
    assert metadata["unsmear.steps"] == "6"
    assert (folder / "run" / "last.ckpt").is_file()
    assert (folder / "run" / "best.ckpt").is_file()
    logs = list((folder / "run" / "logs").glob("events*"))
    assert logs

    state = torch.load(folder / "run" / "last.ckpt", weights_only=False)
    assert state["global_step"] == 6  # the latest, whether or not it is the best

    # A finished run that is asked to go further goes on where it was.
    further = dataclasses.replace(config, steps=8)
    assert read_checkpoint(train(further))[1]["unsmear.steps"] == "8"


@pytest.mark.filterwarnings("ignore")
def test_weights_to_start_from_are_used(folder, recipe, small_network):
    from unsmear.models import create_model, save_model

    start = create_model("lmdvit-tiny", **recipe["overrides"])
    saved = save_model(start, folder / "start.safetensors")
    recipe |= {"init": str(saved), "steps": 1, "learning_rate": 1e-9, "final_rate": 1e-9}
    trained = load_model(train(config_of(folder, recipe)))
    for name, value in start.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, atol=2e-3, rtol=2e-3)


def test_reach_scales_what_predictors_send_into_the_features(folder, recipe, small_network):
    config = config_of(folder, recipe)
    gradients = []
    for reach in (1.0, 0.25):
        loss = dataclasses.replace(config.loss, pruning_reach=reach)
        network = load_clone(small_network)
        Deblurring(network, dataclasses.replace(config, loss=loss))
        network.zero_grad()
        network.eval()(torch.full((1, 3, 32, 32), 0.3), decisions="all").scores[0].sum().backward()
        gradients.append(network.input_proj.weight.grad)
    torch.testing.assert_close(gradients[1], 0.25 * gradients[0])


def load_clone(network):
    """A network of its own: hooks stay on what they were put on."""
    import copy

    return copy.deepcopy(network)

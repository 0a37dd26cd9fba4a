"""A fresh tiny network, and the call that deblurs a clip with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unsmear.inference import Deblurrer, Steering
from unsmear.models import create_model, save_model
from unsmear.video import VideoReport, VideoSettings, deblur_clip

from .makers import ffmpeg, moving_square, write_clip


@pytest.fixture(autouse=True)
def _few_threads(one_thread: None) -> None:
    pass


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that changes things a little, and keeps every window at threshold 0."""
    torch.manual_seed(0)
    network = create_model(
        "lmdvit-tiny", embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9, pruned_stages=(7, 8, 9)
    )
    with torch.no_grad():
        for own in network.output_proj.parameters():
            own[:3] *= 0.3
    return save_model(network, tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="session")
def deblurrer(checkpoint: Path) -> Deblurrer:
    """The engine with that network."""
    return Deblurrer(checkpoint, device="cpu", dtype="float32")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """clip.mp4: ten frames of a square that moves."""
    return write_clip(tmp_path / "clip.mp4", moving_square(10), "-crf", "10")


@pytest.fixture
def trimmed(tmp_path: Path) -> Path:
    """trim.mp4: 25 frames with sound, the first 10 of which an edit list cuts away."""
    mute = write_clip(tmp_path / "mute.mp4", moving_square(25))
    whole, path = tmp_path / "whole.mp4", tmp_path / "trim.mp4"
    sound = ("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac")
    ffmpeg("-i", mute, *sound, "-c:v", "copy", whole)
    ffmpeg("-itsoffset", -0.4, "-i", whole, "-c", "copy", "-avoid_negative_ts", "disabled", path)
    return path


@pytest.fixture
def deblur(deblurrer: Deblurrer):
    """Deblur a clip with every moving window kept, and without loss in the encoder."""

    def call(source: Path, destination: Path, **wishes) -> VideoReport:
        settings = {"lossless": True, "piece": 4} | wishes.pop("settings", {})
        steering = wishes.pop("steering", Steering(threshold=0.0))
        return deblur_clip(
            source, destination, deblurrer, steering, VideoSettings(**settings), **wishes
        )

    return call

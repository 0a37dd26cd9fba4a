"""Pairs and a network small enough to evaluate in no time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unsmear.models import create_model, save_model

from .makers import make_pairs


@pytest.fixture(autouse=True)
def _few_threads(one_thread: None) -> None:
    pass


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two blurred pictures and a sharp one."""
    return make_pairs(tmp_path / "pairs")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose decisions differ from window to window."""
    torch.manual_seed(0)
    depths = (1, 2, 1, 1, 1, 1, 1, 2, 1)
    network = create_model("lmdvit", embed_dim=4, depths=depths, num_heads=(1,) * 9)
    for name, weight in network.named_parameters():
        if ".predictors." in name and weight.ndim == 2:
            torch.nn.init.normal_(weight, std=4 * weight.shape[1] ** -0.5)
    return save_model(network, tmp_path_factory.mktemp("model") / "tiny.safetensors")

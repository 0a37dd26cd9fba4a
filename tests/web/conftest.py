"""A tiny network, and one server with it that all tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from unsmear.models import create_model, save_model

from .makers import Server


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh network: it touches everything at threshold 0 and nothing at threshold 1."""
    torch.manual_seed(0)
    network = create_model(
        "lmdvit-tiny", embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9, pruned_stages=(4, 5, 6)
    )
    return save_model(network, tmp_path_factory.mktemp("model") / "little.safetensors")


@pytest.fixture(scope="session")
def server(checkpoint: Path) -> Iterator[Server]:
    """`unsmear serve` with small limits: two may wait, 9 megapixels, 1 MiB."""
    options = {
        "--port": 0,
        "--model": checkpoint,
        "--device": "cpu",
        "--dtype": "float32",
        "--queue": 2,
        "--max-bytes": 1 << 20,
        "--max-pixels": 9_000_000,
        "--timeout": 100,
    }
    words = [str(word) for pair in options.items() for word in pair]
    process = subprocess.Popen(
        [sys.executable, "-m", "unsmear", "serve", "--no-page", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    yield Server(process.stdout.readline().split()[0], process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0

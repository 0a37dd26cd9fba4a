"""A tiny network, a small photo, and the command run in this process."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from unsmear.cli.main import main
from unsmear.models import create_model, save_model

from .makers import Ended, Run, make_photo


@pytest.fixture(autouse=True)
def _few_threads(one_thread: None) -> None:
    pass


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh network: it touches everything at threshold 0 and nothing at threshold 1."""
    torch.manual_seed(0)
    network = create_model(
        "lmdvit-tiny", embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9, pruned_stages=(4, 5, 6)
    )
    return save_model(network, tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture
def run(
    checkpoint: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run the command as a shell would, with the tiny network: ``run("a.png", "--dense")``."""

    def call(*words: object, stdin: bytes = b"", plain: bool = False) -> Ended:
        arguments = [str(word) for word in words]
        if not plain:
            defaults = {"--model": str(checkpoint), "--device": "cpu", "--dtype": "float32"}
            for option in defaults.keys() - set(arguments):
                arguments += [option, defaults[option]]
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(arguments)
        captured = capfdbinary.readouterr()
        return Ended(
            code, captured.out.decode("utf-8", "replace"), captured.err.decode(), captured.out
        )

    return call


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photo.png in the current folder, which is empty otherwise."""
    monkeypatch.chdir(tmp_path)
    return make_photo(Path("photo.png"))

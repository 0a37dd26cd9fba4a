"""Rivals: functions, and checkpoints through a stand-in for spandrel."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from unsmear.errors import InputError, ModelError, UnsmearError
from unsmear.evaluation import FunctionRestorer, load_rival


class Descriptor:
    """What spandrel makes of a checkpoint, as far as it is used."""

    supports_half = False
    supports_bfloat16 = True
    input_channels = output_channels = 3

    def __init__(self, scale: int = 1) -> None:
        self.scale = scale
        self.model = nn.Conv2d(3, 3, 3, padding=1)

    def to(self, device: torch.device, dtype: torch.dtype) -> Descriptor:
        self.model = self.model.to(device, dtype)
        return self

    def eval(self) -> Descriptor:
        return self

    def __call__(self, picture: Tensor) -> Tensor:
        return self.model(picture)


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that knows one kind of checkpoint, by what is written in it."""
    module = ModuleType("spandrel")

    def load_from_file(path: str) -> object:
        made = {"conv": Descriptor(), "twice": Descriptor(scale=2), "else": object()}
        return made[Path(path).read_text()]

    module.ModelLoader = lambda: SimpleNamespace(load_from_file=load_from_file)  # pyright: ignore
    module.ImageModelDescriptor = Descriptor  # pyright: ignore
    monkeypatch.setitem(sys.modules, "spandrel", module)
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", None)
    return module


@pytest.fixture
def conv(tmp_path: Path) -> Path:
    path = tmp_path / "conv.pth"
    path.write_text("conv")
    return path


def test_a_checkpoint_is_a_restorer(spandrel: ModuleType, conv: Path) -> None:
    rival = load_rival(conv, device="cpu", dtype="float32")
    first, second = rival(torch.rand(1, 3, 20, 30)), rival(torch.rand(1, 3, 20, 30))
    assert rival.name == str(conv)
    assert rival.parameters == 84
    assert first.restored.shape == (1, 3, 20, 30)
    assert first.multiply_adds_spent == second.multiply_adds_spent == 20 * 30 * 9 * 3 * 3
    assert first.multiply_adds_dense == first.multiply_adds_spent
    assert first.decisions == ()


def test_the_number_type_is_the_rivals(spandrel: ModuleType, conv: Path) -> None:
    answer = load_rival(conv, device="cpu", dtype="bfloat16")(torch.rand(1, 3, 20, 30))
    assert answer.restored.dtype == torch.float32
    with pytest.raises(InputError, match="float16"):
        load_rival(conv, device="cpu", dtype="float16")


@pytest.mark.parametrize("text", ["twice", "else", "nonsense"])
def test_other_checkpoints_are_refused(spandrel: ModuleType, tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.pth"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"other\.pth"):
        load_rival(path, device="cpu")
    with pytest.raises(ModelError, match=r"no\.pth"):
        load_rival(tmp_path / "no.pth", device="cpu")


def test_the_missing_extra_is_named(conv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(UnsmearError, match=r"pip install 'unsmear\[rivals\]'"):
        load_rival(conv)


def test_spandrel_itself(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    pytest.importorskip("spandrel")
    from spandrel.architectures.NAFNet import NAFNet  # pyright: ignore

    network = NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1])
    torch.save(network.state_dict(), tmp_path / "naf.pth")
    picture = torch.rand(1, 3, 20, 30)
    found = load_rival(tmp_path / "naf.pth", device="cpu", dtype="float32")(picture).restored
    with torch.inference_mode():
        torch.testing.assert_close(found, network.eval()(picture).clamp(0, 1))


def test_a_function_must_keep_the_size() -> None:
    with pytest.raises(InputError, match="keeps size"):
        FunctionRestorer("half", lambda x: x[..., ::2, ::2])(torch.rand(1, 3, 20, 30))

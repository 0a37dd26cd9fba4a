"""``unsmear export``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import onnx
import pytest

from .makers import Run, names

pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def kinds(path: str) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_writes_a_checked_file(checkpoint: Path, run: Run) -> None:
    ended = run("export", checkpoint, "-o", "model.onnx", plain=True)
    assert (ended.code, ended.err) == (0, "")
    written, difference = ended.out.splitlines()
    assert written.startswith("model.onnx  ")
    assert float(difference.removeprefix("largest difference from torch, in onnxruntime: ")) < 1e-3
    assert names() == ["model.onnx"]
    assert "NonZero" in kinds("model.onnx")


def test_the_dense_form_in_a_newer_opset_under_the_models_name(checkpoint: Path, run: Run) -> None:
    ended = run("export", checkpoint, "--dense", "--opset", 20, "--no-check", plain=True)
    assert ended.code == 0
    assert "not checked" in ended.err
    assert names() == ["tiny.onnx"]
    assert "NonZero" not in kinds("tiny.onnx")
    assert onnx.load("tiny.onnx").opset_import[0].version == 20


def test_the_folder_one_is_in_gives_its_name(
    checkpoint: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").mkdir()
    shutil.copy(checkpoint, "mine/model.safetensors")
    monkeypatch.chdir("mine")
    assert run("export", ".", "--no-check", plain=True).code == 0
    assert names() == ["mine.onnx", "model.safetensors"]


def test_nothing_is_replaced_unasked(checkpoint: Path, run: Run) -> None:
    Path("tiny.onnx").write_text("mine")
    ended = run("export", checkpoint, plain=True)
    assert ended.code == 2
    assert "already exists: use --overwrite" in ended.err
    assert Path("tiny.onnx").read_text() == "mine"
    assert run("export", checkpoint, "--overwrite", "--no-check", plain=True).code == 0
    onnx.checker.check_model("tiny.onnx")


def test_the_bundled_weights_carry_their_licence(run: Run) -> None:
    assert run("export", "lmdvit-tiny", "--no-check", plain=True).code == 0
    facts = {fact.key: fact.value for fact in onnx.load("lmdvit-tiny.onnx").metadata_props}
    assert facts["unsmear.license"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "model.bin"], "must end in .onnx"),
        (["-o", "none/model.onnx"], "no folder"),
        (["--opset", "9"], "18 to 23"),
    ],
)
def test_what_cannot_be_done_is_said(
    checkpoint: Path, run: Run, words: list[str], sentence: str
) -> None:
    ended = run("export", checkpoint, *words, plain=True)
    assert ended.code == 2
    assert sentence in ended.err
    assert len(ended.err.splitlines()) == 1
    assert names() == []


def test_a_folder_is_no_file(checkpoint: Path, run: Run) -> None:
    Path("model.onnx").mkdir()
    ended = run("export", checkpoint, "-o", "model.onnx", plain=True)
    assert (ended.code, "is a folder" in ended.err) == (2, True)


def test_a_model_without_weights(run: Run) -> None:
    ended = run("export", "srn", plain=True)
    assert (ended.code, "No weights of srn" in ended.err) == (2, True)


def test_a_missing_library_is_named(
    checkpoint: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "unsmear.exchange.onnx", raising=False)
    ended = run("export", checkpoint, plain=True)
    assert ended.code == 2
    assert "pip install 'unsmear[export]'" in ended.err

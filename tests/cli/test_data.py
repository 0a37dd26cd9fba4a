"""``unsmear data``, run as a person would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from data_sources.makers import make_folder, make_reloblur, picture, save
from unsmear.cli.page import PARTS
from unsmear.data.sources import open_source

from .makers import Run, names
from .test_help import WITHOUT_TORCH


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    """A folder with two photos large enough to cut samples from."""
    for seed in range(2):
        save(tmp_path / "stills" / f"{seed}.png", picture(seed, (260, 220)))
    return tmp_path / "stills"


@pytest.mark.parametrize("part", PARTS["data"])
def test_help_of_the_parts_is_light(part: str) -> None:
    words = ["data", part, "--help"]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert f"Usage: unsmear data {part} " in ended.stdout


def test_data_alone_tells_its_parts(run: Run) -> None:
    page = run("data", "--help", plain=True).out
    assert all(part in page for part in PARTS["data"])
    ended = run("data", plain=True)
    assert ended.code == 2
    assert "check or synthesize" in ended.err
    ended = run("data", "chek", plain=True)
    assert ended.code == 2
    assert "chek" in ended.err


def test_check_of_a_clean_set(tmp_path: Path, run: Run) -> None:
    ended = run("data", "check", make_reloblur(tmp_path), plain=True)
    assert ended.code == 0, ended.err
    assert ended.out == "3 pairs, none of them with something wrong\n"


def test_check_finds_and_fails(tmp_path: Path, run: Run) -> None:
    make_folder(tmp_path / "train")
    make_folder(tmp_path / "test", count=1)
    (tmp_path / "train" / "2_sharp.png").unlink()
    ended = run("data", "check", tmp_path, plain=True)
    assert ended.code == 1
    assert "missing" in ended.out
    assert "4 pairs, 2 of them with something wrong" in ended.out
    ended = run("data", "check", tmp_path / "train", tmp_path / "test", "--json", plain=True)
    assert ended.code == 1
    report = json.loads(ended.out)
    assert report["pairs"] == 4
    kinds = [(each["name"], each["problem"]) for each in report["findings"]]
    assert kinds == [("2", "missing"), ("0", "duplicate"), ("0", "duplicate")]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("nowhere",), "nowhere"),
        ((".",), "holds no pair"),
        ((".", "--layout", "gropo"), "gropo"),
        ((".", "--shift", "-1"), "--shift"),
        ((".", "--shift", "nan"), "--shift"),
        ((), "PATH"),
    ],
)
def test_check_refuses(words: tuple[str, ...], part: str, photo: Path, run: Run) -> None:
    ended = run("data", "check", *words, plain=True)
    assert ended.code == 2
    assert part in ended.err
    assert len(ended.err.splitlines()) == 1


def test_synthesize_check_and_go_on(stills: Path, tmp_path: Path, run: Run) -> None:
    words = ("data", "synthesize", "--stills", stills, "--size", 96, "--seed", 3, "-o")
    few, many = tmp_path / "few", tmp_path / "many"
    assert run(*words, few, "--count", 2, plain=True).code == 0
    ended = run(*words, many, "--count", 4, plain=True)
    assert (ended.code, ended.out) == (0, f"{many}  4 pairs\n")
    rows = [json.loads(line) for line in (many / "manifest.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == [f"{index:07d}" for index in range(4)]
    assert {(row["seed"], row["size"]) for row in rows} == {(3, 96)}
    source = open_source(many)
    assert source.names == tuple(row["name"] for row in rows)
    for pair, row in zip((source[index] for index in range(4)), rows, strict=True):
        assert pair.blur_mask is not None
        assert float(pair.blur_mask.float().mean()) == pytest.approx(row["blurred"], abs=1e-3)
    # A run that was cut: half a line, a pair that is half there.
    (few / "0000001_sharp.png").unlink()
    with (few / "manifest.jsonl").open("a") as lines:
        lines.write('3\n{}\n{"name": "00000')
    kept = (few / "0000000_blur.png").stat().st_mtime_ns
    assert run(*words, few, "--count", 4, plain=True).code == 0
    assert names(few) == names(many)
    assert all((few / name).read_bytes() == (many / name).read_bytes() for name in names(many))
    assert (few / "0000000_blur.png").stat().st_mtime_ns == kept
    assert run("data", "check", many, plain=True).code == 0


def test_synthesize_keeps_what_is_there(stills: Path, tmp_path: Path, run: Run) -> None:
    words = ("data", "synthesize", "--stills", stills, "--size", 64, "--count", 1)
    mine = save(tmp_path / "mine" / "0000000_blur.png", np.zeros((4, 4, 3), np.uint8))
    before = mine.read_bytes()
    ended = run(*words, "-o", mine.parent, plain=True)
    assert ended.code == 2
    assert "not empty" in ended.err
    assert names(mine.parent) == ["0000000_blur.png"]
    assert mine.read_bytes() == before
    out = tmp_path / "out"
    assert run(*words, "-o", out, plain=True).code == 0
    ended = run(*words, "-o", out, "--seed", 1, plain=True)
    assert ended.code == 2
    assert "another seed" in ended.err


def test_a_folder_without_a_pair_yet_takes_other_settings(
    stills: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("data", "synthesize", "--stills", stills, "--count", 1, "-o", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("unsmear.data.export._write_pair", Mock(side_effect=KeyboardInterrupt))
        assert run(*words, "--size", 96, plain=True).code != 0
    assert run(*words, "--size", 64, plain=True).code == 0
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["size"] == 64


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--count", "0"), "count=0"),
        (("--count", "1", "--size", "8"), "size=8"),
        (("--count", "1", "--size", "100000"), "size=100000"),
        (("--count", "1", "--objects", "nowhere"), "nowhere"),
        (("--count", "1", "--seed", "-1"), "--seed"),
        ((), "--count"),
    ],
)
def test_synthesize_refuses(words: tuple[str, ...], part: str, stills: Path, run: Run) -> None:
    out = stills.parent / "out"
    ended = run("data", "synthesize", "--stills", stills, "-o", out, *words, plain=True)
    assert ended.code == 2
    assert part in ended.err
    assert not out.exists()

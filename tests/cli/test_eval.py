"""``unsmear eval`` as a whole."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .makers import Run, make_photo, names

FIGURES = ("psnr", "ssim", "wpsnr", "wssim")


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two blurred pictures and a sharp one in set/."""
    monkeypatch.chdir(tmp_path)
    folder = Path("set")
    for number in range(3):
        sharp = np.array(Image.open(make_photo(folder / f"p{number}_sharp.png", seed=number)))
        mask = np.zeros(sharp.shape[:2], np.uint8)
        sharp[0, 0] ^= 1
        if number < 2:
            sharp[10:40, 20:60] //= 2
            mask[10:40, 20:60] = 255
        Image.fromarray(sharp).save(folder / f"p{number}_blur.png")
        Image.fromarray(mask).save(folder / f"p{number}_mask.png")
    return folder


def without_time(figures: dict) -> dict:
    """What is the same whenever it is measured."""
    cost = {k: v for k, v in figures["cost"].items() if k not in ("seconds", "peak_memory")}
    images = [{k: v for k, v in each.items() if k != "seconds"} for each in figures["per_image"]]
    return figures | {"cost": cost, "per_image": images}


def test_json_has_all_figures(pairs: Path, checkpoint: Path, run: Run) -> None:
    ended = run("eval", "--data", pairs, "--json", "-")
    assert ended.code == 0, ended.err
    figures = json.loads(ended.out)
    assert figures["images"] == 3
    assert figures["skipped"] == {"empty_masks": 1, "without_mask": 0}
    assert figures["model"] == str(checkpoint)
    for part in ("input", "mean"):
        assert all(figures[part][name] > 0 for name in FIGURES)
    assert [image["name"] for image in figures["per_image"]] == ["p0", "p1", "p2"]
    for name in FIGURES:
        values = [each[name] for each in figures["per_image"] if each[name] is not None]
        assert figures["mean"][name] == pytest.approx(np.mean(values))
        assert len(values) == (2 if name.startswith("w") else 3)
    assert [stage["stage"] for stage in figures["stages"]] == [4, 5, 6]
    assert {"accuracy", "precision", "recall", "kept"} <= figures["stages"][0].keys()
    assert figures["last_stage"]["stage"] == 6
    cost = figures["cost"]
    assert 0 < cost["multiply_adds_spent"] <= cost["multiply_adds_dense"]
    assert (cost["device"], cost["dtype"]) == ("cpu", "float32")
    assert cost["seconds"] > 0
    assert figures["conventions"].keys() >= {"psnr", "wssim", "static_change", "seconds"}
    assert "wPSNR" in ended.err  # the tables
    assert names() == sorted(f"set/p{n}_{part}.png" for n in range(3) for part in PARTS)


PARTS = ("blur", "mask", "sharp")


def test_files_hold_the_same(pairs: Path, run: Run) -> None:
    places = ("--json", "a.json", "--csv", "a.csv", "--report", "a.html", "--curve", "a.svg")
    ended = run("eval", "--data", pairs, *places)
    assert ended.code == 0, ended.err
    figures = json.loads(Path("a.json").read_text())
    rows = list(csv.DictReader(io.StringIO(Path("a.csv").read_text())))
    for row, image in zip(rows, figures["per_image"], strict=True):
        assert row["name"] == image["name"]
        assert float(row["psnr"]) == image["psnr"]
        assert float(row["input_ssim"]) == image["input"]["ssim"]
        assert row["wpsnr"] == ("" if image["wpsnr"] is None else str(image["wpsnr"]))
    assert Path("a.html").read_text().count("<img ") == 3 * (4 + 1 + 3)
    assert Path("a.svg").read_text().startswith("<svg")
    assert f"{figures['mean']['psnr']:.2f}" in ended.out
    assert not [name for name in names() if ".tmp" in name]


def test_names_that_are_no_text_are_escaped(pairs: Path, run: Run) -> None:
    for part in PARTS:
        (pairs / f"p0_{part}.png").rename(os.fsdecode(bytes(pairs / f"p\udcff_{part}.png")))
    places = ("--csv", "a.csv", "--report", "a.html", "--curve", "a.svg")
    ended = run("eval", "--data", pairs, *places)
    assert ended.code == 0, ended.err
    assert r"p\udcff" in Path("a.csv").read_text()
    assert r"p\udcff" in Path("a.html").read_text()


def test_rows_of_a_sweep_equal_single_runs(pairs: Path, run: Run) -> None:
    one = ("eval", "--data", pairs, "--limit", "1")
    sweeps = ("--sweep", "threshold=0:1:0.5", "--sweep", "pruned-stages=4-6,none")
    ended = run(*one, *sweeps, "--json", "swept.json")
    assert ended.code == 0, ended.err
    top = json.loads(Path("swept.json").read_text())
    rows = [top, *top["others"]]
    found = [(row["setting"]["pruned_stages"], row["setting"]["threshold"]) for row in rows]
    assert found == [([4, 5, 6], 0), ([4, 5, 6], 0.5), ([4, 5, 6], 1), ([], 0.5)]
    singles = [
        ("--threshold", "0"),
        (),
        ("--threshold", "1"),
        ("--sweep", "pruned-stages=none"),
    ]
    for row, words in zip(rows, singles, strict=True):
        single = json.loads(run(*one, *words, "--json", "-").out)
        for key in ("model", "setting", "mean", "stages", "last_stage", "cost", "per_image"):
            assert without_time(row)[key] == without_time(single)[key]
    spent = [row["cost"]["multiply_adds_spent"] for row in rows]
    assert spent[0] > spent[2]
    lines = [line for line in ended.out.splitlines() if "safetensors" in line]
    assert len(lines) == 4
    assert all(each in lines[1] for each in ("4-6", "0.5", f"{rows[1]['mean']['psnr']:.2f}"))
    assert "none" in lines[3]


def test_dense_and_composite_are_settings(pairs: Path, run: Run) -> None:
    def figures(*words: str) -> dict:
        return json.loads(run("eval", "--data", pairs, "--limit", "1", "--json", "-", *words).out)

    dense = figures("--dense")
    assert dense["cost"]["multiply_adds_spent"] == dense["cost"]["multiply_adds_dense"]
    nothing = figures("--composite", "--threshold", "1")
    assert nothing["static_change"] == 0
    assert nothing["mean"] == nothing["input"]
    assert figures("--threshold", "1")["static_change"] > 0


def test_models_side_by_side(pairs: Path, checkpoint: Path, run: Run) -> None:
    Path("same.safetensors").write_bytes(checkpoint.read_bytes())
    Path("[v2]").mkdir()
    Path("[v2]/m.safetensors").write_bytes(checkpoint.read_bytes())
    words = ("--model", checkpoint, "--model", "same.safetensors", "--limit", "1")
    words += ("--model", "[v2]/m.safetensors")
    ended = run("eval", "--data", pairs, *words, "--json", "both.json")
    figures = json.loads(Path("both.json").read_text())
    other, _ = figures["others"]
    assert other["model"] == "same.safetensors"
    assert other["mean"] == figures["mean"]
    assert len(figures["per_image"]) == 1
    assert "same.safetensors" in ended.out
    assert ended.out.count("[v2]/m.safetensors") == 3  # brackets are no markup


def test_a_rival_needs_its_extra(pairs: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    ended = run("eval", "--data", pairs, "--restorer", "rival.pth")
    assert ended.code == 2
    assert "pip install 'unsmear[rivals]'" in ended.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--data", "nowhere"), "nowhere"),
        (("--data", "set", "--model", "none.pth"), "none.pth"),
        (("--data", "set", "--sweep", "size=3"), "--sweep"),
        (("--data", "set", "--sweep", "pruned-stages=1-9"), "stages 4-6"),
        (("--data", "set", "--threshold", "2"), "threshold"),
        (("--data", "set", "--limit", "0"), "--limit"),
        (("--data", "set", "--layout", "gopro"), "set"),
        (("--data", "set", "--csv", "set"), "--csv"),
        (("--data", "set", "--json", "no/a.json"), "no"),
        (("--data", "set", "--json", "x", "--csv", "x"), "--csv"),
        (("--data", "set", "--report", "there.html"), "--overwrite"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    pairs: Path, run: Run, words: tuple[str, ...], part: str
) -> None:
    Path("there.html").write_text("mine")
    ended = run("eval", *words)
    assert ended.code == 2
    assert part in ended.err
    assert len(ended.err.splitlines()) == 1
    assert Path("there.html").read_text() == "mine"


def test_overwrite_replaces(pairs: Path, run: Run) -> None:
    Path("a.json").write_text("mine")
    ended = run("eval", "--data", pairs, "--limit", "1", "--json", "a.json", "--overwrite")
    assert ended.code == 0, ended.err
    assert json.loads(Path("a.json").read_text())["images"] == 1


def test_quiet_prints_nothing(pairs: Path, run: Run) -> None:
    ended = run("eval", "--data", pairs, "--limit", "1", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")

"""``unsmear mask``, run as a person would."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_sources.makers import make_folder, make_pair, make_reloblur, picture, save

from .makers import Run, names, pixels


@pytest.fixture
def twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """b.png, s.png and m.png in the current folder; the left half is blurred."""
    monkeypatch.chdir(tmp_path)
    make_pair(Path("b.png"), Path("s.png"), Path("m.png"))
    return tmp_path


def test_a_pair(twins: Path, run: Run) -> None:
    ended = run("mask", "b.png", "s.png", plain=True)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("b.unsmeared.mask.png  ")
    mask = pixels(Path("b.unsmeared.mask.png"))
    assert mask.shape == (40, 48)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[:, :24] == 255).mean() > 0.9
    assert mask[:, -16:].max() == 0


def test_a_pair_is_compared(twins: Path, run: Run) -> None:
    words = ("mask", "b.png", "s.png", "-o", "found.png", "--compare", "m.png", "--json")
    report = json.loads(run(*words, plain=True).out)
    assert report["masks"][0]["mask"] == "found.png"
    assert report["mean"]["recall"] > 0.9
    assert report["mean"]["iou"] > 0.7


def test_a_mask_that_is_there_stays(twins: Path, run: Run) -> None:
    Path("found.png").write_bytes(b"mine")
    words = ("mask", "b.png", "s.png", "-o", "found.png")
    ended = run(*words, plain=True)
    assert ended.code == 2
    assert "--overwrite" in ended.err
    assert Path("found.png").read_bytes() == b"mine"
    assert run(*words, "--overwrite", plain=True).code == 0
    assert pixels(Path("found.png")).shape == (40, 48)


def test_a_set_with_its_masks_and_a_sheet(tmp_path: Path, run: Run) -> None:
    source, masks, sheet = make_reloblur(tmp_path / "set"), tmp_path / "masks", tmp_path / "s.png"
    ended = run("mask", "--data", source, "-o", masks, "--sheet", sheet, plain=True)
    assert ended.code == 0, ended.err
    assert names(masks) == ["test/scene1/00/00.png", "train/s01/00/00.png", "train/s01/01/01.png"]
    assert "mean of 3  iou 0." in ended.out
    assert pixels(sheet).shape[2] == 3
    red = (pixels(sheet) == [255, 40, 40]).all(axis=-1)
    assert red.any()

    from unsmear.data.sources import open_source

    ours = open_source(source, masks=masks)
    assert all(pair.blur_mask is not None and pair.blur_mask.any() for pair in ours)


def test_a_corrected_mask_is_kept_and_judged(tmp_path: Path, run: Run) -> None:
    source, masks = make_folder(tmp_path / "set"), tmp_path / "masks"
    save(masks / "1.png", pixels(source / "1_mask.png"))
    words = ("mask", "--data", source, "-o", masks, "--json")
    rows = json.loads(run(*words, plain=True).out)["masks"]
    assert [row["name"] for row in rows] == ["0", "1", "2"]
    assert rows[1]["iou"] == 1.0
    assert rows[0]["iou"] < 1.0
    rows = json.loads(run(*words, "--overwrite", plain=True).out)["masks"]
    assert rows[1]["iou"] < 1.0


def test_a_set_is_only_measured_without_a_folder(tmp_path: Path, run: Run) -> None:
    source = make_folder(tmp_path / "set", count=1)
    before = names(tmp_path)
    ended = run("mask", "--data", source, plain=True)
    assert ended.code == 0
    assert "recall" in ended.out
    assert names(tmp_path) == before


def test_a_bad_pair_does_not_stop_the_set(tmp_path: Path, run: Run) -> None:
    source = make_folder(tmp_path / "set")
    save(source / "1_sharp.png", picture(1, (20, 20)))
    ended = run("mask", "--data", source, "-o", tmp_path / "masks", plain=True)
    assert ended.code == 1
    assert "20x20" in ended.err
    assert names(tmp_path / "masks") == ["0.png", "2.png"]


def test_a_pair_that_is_too_small_is_named(tmp_path: Path, run: Run) -> None:
    source = make_folder(tmp_path / "set")
    for kind in ("blur", "sharp", "mask"):
        save(source / f"1_{kind}.png", picture(1, (20, 20)))
    ended = run("mask", "--data", source, plain=True)
    assert ended.code == 1
    assert ended.err.startswith("unsmear: 1: a mask is made of")


def test_a_later_page_in_the_way_is_told_before_any_work(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsmear.cli.mask_sheet.PAIRS_ON_A_PAGE", 2)
    source, masks, sheet = make_reloblur(tmp_path / "set"), tmp_path / "masks", tmp_path / "s.jpg"
    (tmp_path / "s-2.jpg").write_bytes(b"mine")
    words = ("mask", "--data", source, "-o", masks, "--sheet", sheet)
    ended = run(*words, plain=True)
    assert ended.code == 2
    assert "s-2.jpg already exists" in ended.err
    assert not masks.exists()
    assert not sheet.exists()
    assert run(*words, "--overwrite", plain=True).code == 0
    assert pixels(tmp_path / "s-2.jpg").shape[2] == 3


def test_long_sheets_have_pages(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsmear.cli.mask_sheet.PAIRS_ON_A_PAGE", 2)
    source = make_folder(tmp_path / "set")
    ended = run("mask", "--data", source, "--sheet", tmp_path / "s.jpg", "--json", plain=True)
    pages = json.loads(ended.out)["sheets"]
    assert [Path(page).name for page in pages] == ["s.jpg", "s-2.jpg"]
    assert all(Image.open(page).format == "JPEG" for page in pages)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("b.png", "s.png", "-o", "b.png"), "b.png is read"),
        (("b.png", "s.png", "-o", "./link.png"), "link.png is read"),
        (("b.png", "s.png", "--sheet", "s.png"), "s.png is read"),
        (("b.png", "s.png", "--compare", "m.png", "-o", "m.png"), "m.png is read"),
        (("b.png", "s.png", "-o", "x.png", "--sheet", "x.png"), "cannot be both"),
        (("--data", "set", "-o", "set/blur"), "set/blur/a.png is read"),
        (("--data", "set", "-o", "new", "--sheet", "set/sharp/a.png"), "set/sharp/a.png is read"),
        (("--data", "set", "-o", "set", "--sheet", "set/a.png"), "cannot be both"),
    ],
)
def test_what_is_read_is_not_replaced(
    words: tuple[str, ...], part: str, twins: Path, run: Run
) -> None:
    make_pair(Path("set/blur/a.png"), Path("set/sharp/a.png"), Path("set/mask/a.png"))
    Path("link.png").symlink_to("s.png")
    before = {name: Path(name).read_bytes() for name in names()}
    ended = run("mask", *words, "--overwrite", plain=True)
    assert ended.code == 2
    assert part in ended.err
    assert len(ended.err.splitlines()) == 1
    assert {name: Path(name).read_bytes() for name in names()} == before


def test_masks_of_a_set_are_made_anew_only_where_they_are_not_its_own(
    twins: Path, run: Run
) -> None:
    make_pair(Path("set/blur/a.png"), Path("set/sharp/a.png"), Path("m.png"))
    words = ("mask", "--data", "set", "-o", "set/mask")
    assert run(*words, plain=True).code == 0
    assert run(*words, plain=True).code == 0
    assert "set/mask/a.png is read" in run(*words, "--overwrite", plain=True).err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "--data"),
        (("b.png",), "--data"),
        (("b.png", "s.png", "--data", "."), "--data"),
        (("b.png", "none.png"), "none.png"),
        (("b.png", ""), "empty"),
        (("b.png", "s.png", "-o", "none/m.png"), "none"),
        (("b.png", "s.png", "-o", "m.gif"), "m.gif"),
        (("b.png", "s.png", "--sheet", "m.png"), "already exists"),
        (("b.png", "s.png", "--misalignment", "-1"), "misalignment"),
        (("--data", "none"), "none"),
        (("--data", ".", "-o", "b.png"), "b.png"),
    ],
)
def test_refusals(words: tuple[str, ...], part: str, twins: Path, run: Run) -> None:
    ended = run("mask", *words, plain=True)
    assert ended.code == 2
    assert part in ended.err
    assert len(ended.err.splitlines()) == 1
    assert names() == ["b.png", "m.png", "s.png"]

"""Each thing that can be wrong with a data set is found, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unsmear.data.check import Finding, check_pairs, find_duplicates, measure_shift
from unsmear.data.sources import FileSource, open_source

from .makers import blur_part, make_folder, make_reloblur, picture, save

SIZE = (96, 80)


def findings(**sources: FileSource) -> list[Finding]:
    checked = list(check_pairs(sources))
    found = [finding for pair in checked for finding in pair.findings]
    return found + find_duplicates(checked)


def larger_folder(root: Path) -> Path:
    for seed in range(3):
        sharp = picture(seed, SIZE)
        for kind, pixels in zip(("blur", "mask"), blur_part(sharp), strict=True):
            save(root / f"{seed}_{kind}.png", pixels)
        save(root / f"{seed}_sharp.png", sharp)
    return root


def test_nothing_is_wrong(tmp_path: Path) -> None:
    assert findings(a=open_source(larger_folder(tmp_path / "a"))) == []
    assert findings(b=open_source(make_reloblur(tmp_path / "b"))) == []


def test_files_are_missing_broken_and_of_other_sizes(tmp_path: Path) -> None:
    larger_folder(tmp_path)
    (tmp_path / "0_sharp.png").unlink()
    (tmp_path / "1_mask.png").write_bytes(b"")
    save(tmp_path / "2_mask.png", np.zeros((40, 48), np.uint8))
    found = findings(a=open_source(tmp_path))
    wanted = (("0", "missing", "0_sharp"), ("1", "unreadable", "1_mask"), ("2", "size", "48x40"))
    assert len(found) == len(wanted)
    for each, (name, problem, part) in zip(found, wanted, strict=True):
        assert (each.name, each.problem) == (name, problem)
        assert part in each.detail


def test_masks_are_empty_or_inverted(tmp_path: Path) -> None:
    larger_folder(tmp_path)
    mask = blur_part(picture(0, SIZE))[1]
    save(tmp_path / "0_mask.png", mask * 0)
    save(tmp_path / "1_mask.png", 255 - mask)
    save(tmp_path / "2_mask.png", mask * 0)
    # A pair in which nothing moved has an empty mask, and rightly so.
    save(tmp_path / "2_blur.png", picture(2, SIZE))
    found = findings(a=open_source(tmp_path))
    assert [(each.name, each.problem) for each in found] == [("0", "mask"), ("1", "mask")]
    assert "empty" in found[0].detail
    assert "inverted" in found[1].detail


@pytest.mark.parametrize("shift", [(3, 0), (-2, 5), (0, -4)])
def test_shifts_are_measured(tmp_path: Path, shift: tuple[int, int]) -> None:
    larger_folder(tmp_path)
    right, down = shift
    blurred = blur_part(picture(1, SIZE))[0]
    save(tmp_path / "1_blur.png", np.roll(blurred, (down, right), axis=(0, 1)))
    source = open_source(tmp_path)
    measured = measure_shift(source[1].blurred, source[1].sharp)
    assert measured == pytest.approx(shift, abs=0.3)
    found = [each for each in findings(a=source) if each.problem == "shift"]
    assert [each.name for each in found] == ["1"]
    assert f"{measured[0]:+.1f} px to the right" in found[0].detail


@pytest.mark.parametrize("shift", [1, -1, 2])
def test_a_shift_is_not_blamed_on_the_mask(tmp_path: Path, shift: int) -> None:
    """The still half is full of detail, what moved is smooth: shifted, the still differs more."""
    for seed in range(6):
        sharp = picture(seed, SIZE)
        sharp[:, :48] = np.linspace(100, 140, 48)[None, :, None] + sharp[:, :48] // 16
        blurred, mask = blur_part(sharp)
        blurred = np.roll(blurred, shift, axis=1)
        for kind, pixels in (("sharp", sharp), ("blur", blurred), ("mask", mask)):
            save(tmp_path / f"{seed}_{kind}.png", pixels)
    found = [each.problem for each in findings(a=open_source(tmp_path))]
    # A single pixel is forgiven, though it be measured as a little more.
    assert found == ([] if abs(shift) == 1 else ["shift"] * 6)


def test_a_smear_is_no_shift(tmp_path: Path) -> None:
    # The whole picture moved unevenly: it lingered at one end, 12 px from the other.
    sharp = picture(0, SIZE)
    steps = np.linspace(0, 1, 49) ** 3 * 12 - 4
    smeared = np.mean([np.roll(sharp, round(step), axis=1) for step in steps], axis=0)
    save(tmp_path / "0_sharp.png", sharp)
    save(tmp_path / "0_blur.png", smeared.astype(np.uint8))
    source = open_source(tmp_path)
    assert abs(measure_shift(source[0].blurred, source[0].sharp)[0]) > 2
    assert findings(a=source) == []


def test_duplicates_between_splits_and_sets(tmp_path: Path) -> None:
    root = make_reloblur(tmp_path / "r")
    folders = [root / "dataset" / part for part in ("test/scene1/00", "train/s01/01")]
    save(folders[1] / "01_sharp.png", picture(2))
    found = findings(r=open_source(root, masks="none"))
    assert [(each.name, each.problem) for each in found] == [("train/s01/01/01", "duplicate")]
    assert "sharp picture is also in r: test/scene1/00/00" in found[0].detail
    mine = open_source(make_folder(tmp_path / "f", count=1))
    found = findings(r=open_source(root, split="train", masks="none"), f=mine)
    assert {(each.source, each.detail.split()[1]) for each in found} == {
        ("f", "sharp"),
        ("f", "blurred"),
    }


def test_a_burst_may_share_its_sharp_picture(tmp_path: Path) -> None:
    larger_folder(tmp_path)
    for kind in ("blur", "sharp", "mask"):
        (tmp_path / f"1_{kind}.png").write_bytes((tmp_path / f"0_{kind}.png").read_bytes())
    assert findings(a=open_source(tmp_path)) == []

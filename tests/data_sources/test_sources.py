"""Every layout, read from a tiny tree of its own."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unsmear.data.sources import FileSource, Pair, open_source
from unsmear.errors import InputError

from .makers import (
    SIZE,
    blur_part,
    make_folder,
    make_gopro,
    make_pair,
    make_reloblur,
    picture,
    save,
)


def assert_is(pair: Pair, seed: int, *, masked: bool = True) -> None:
    """The pair is the one that the makers make of a seed."""
    sharp = picture(seed)
    blurred, mask = blur_part(sharp)
    for got, wanted in ((pair.blurred, blurred), (pair.sharp, sharp)):
        assert got.dtype == torch.uint8
        assert np.array_equal(got.permute(1, 2, 0).numpy(), wanted)
    assert (pair.blur_mask is not None) == masked
    if pair.blur_mask is not None:
        assert pair.blur_mask.dtype == torch.uint8
        assert np.array_equal(pair.blur_mask[0].numpy(), mask // 255)


def test_reloblur(tmp_path: Path) -> None:
    source = open_source(make_reloblur(tmp_path))
    assert source.layout == "reloblur"
    assert source.names == ("test/scene1/00/00", "train/s01/00/00", "train/s01/01/01")
    assert_is(source[0], 2)
    assert_is(source[2], 1)


def test_reloblur_with_other_endings_and_hidden_files(tmp_path: Path) -> None:
    """As after a look at it on Windows or a Mac: upper-case endings and strays."""
    make_reloblur(tmp_path)
    train = tmp_path / "dataset/train/s01"
    for path in train.rglob("*.png"):
        path.rename(path.with_suffix(".PNG"))
    (train / "00/._00_sharp.png").write_bytes(b"of a Mac")
    (train / "00/Thumbs.db").write_bytes(b"of Windows")
    masks = tmp_path / "masks/train/s01"
    (masks / "00/00.png").rename(masks / "00/00.PNG")
    # Black is not black round the edges of a JPEG, and all that is not black would count.
    Image.open(masks / "01/01.png").save(masks / "01/01.jpg")
    (masks / "01/01.png").unlink()
    for path in (tmp_path, tmp_path / "dataset/train"):
        source = open_source(path, split="train")
        assert (source.layout, source.names) == ("reloblur", ("s01/00/00", "s01/01/01"))
        assert_is(source[0], 0)
        assert source.files[1].missing == (masks / "01/01.png",)


@pytest.mark.parametrize("start", ["", "dataset", "dataset/train"])
def test_reloblur_is_found_from_any_of_its_folders(tmp_path: Path, start: str) -> None:
    source = open_source(make_reloblur(tmp_path) / start, split="train")
    assert source.layout == "reloblur"
    assert source.names == ("s01/00/00", "s01/01/01")
    assert_is(source[1], 1)
    assert open_source(tmp_path / start).layout == "reloblur"


def test_reloblur_takes_masks_from_another_tree(tmp_path: Path) -> None:
    make_reloblur(tmp_path / "set")
    # Annotators mark with 1 instead of 255, here without the split and for one pair alone.
    mine = np.zeros(SIZE[::-1], np.uint8)
    mine[3:9, 4:20] = 1
    save(tmp_path / "annotated" / "s01" / "00" / "00_mask.png", mine)
    source = open_source(tmp_path / "set", split="train", masks=tmp_path / "annotated")
    mask = source[0].blur_mask
    assert mask is not None
    assert np.array_equal(mask[0].numpy(), mine)
    with pytest.raises(InputError, match=r"annotated/train/s01/01/01\.png does not exist"):
        source[1]
    assert open_source(tmp_path / "set", masks="none")[0].blur_mask is None
    with pytest.raises(InputError, match="nowhere"):
        open_source(tmp_path / "set", masks="nowhere")


def test_reloblur_counts_all_that_is_not_black(tmp_path: Path) -> None:
    make_reloblur(tmp_path)
    grey = np.zeros(SIZE[::-1], np.uint8)
    grey[:10], grey[10:20] = 255, 20
    save(tmp_path / "masks/train/s01/00/00.png", grey)
    mask = open_source(tmp_path, split="train")[0].blur_mask
    assert mask is not None
    assert mask[0, :20].all()
    assert not mask[0, 20:].any()


def write_archive(path: Path, seed: int, **others: object) -> None:
    sharp = picture(seed)
    blurred, mask = blur_part(sharp)
    held = {"img_blur": blurred, "img_gt": sharp, "blur_mask": mask > 0, **others}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, held)  # pyright: ignore


def test_reloblur_as_arrays(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npy", 0)
    write_archive(tmp_path / "b.npy", 1, item_name="s01/00", number=np.float32(3))
    source = open_source(tmp_path)
    assert (source.layout, source.names) == ("reloblur", ("a", "b"))
    assert_is(source[0], 0)
    assert_is(source[1], 1)
    write_archive(tmp_path / "b.npy", 1, blur_mask=None)
    with pytest.raises(InputError, match="blur_mask"):
        source[1]


def test_arrays_of_the_old_numpy(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npy", 0)
    new = (tmp_path / "a.npy").read_bytes()
    header, body = new[:128], new[128:]
    assert b"numpy._core.multiarray" in body
    # What numpy 1 wrote: protocol 3 has no frames, so that a shorter name fits.
    held = np.empty((), object)
    held[()] = np.load(tmp_path / "a.npy", allow_pickle=True).item()
    old = pickle.dumps(held, protocol=3).replace(b"numpy._core.", b"numpy.core.")
    (tmp_path / "a.npy").write_bytes(header + old)
    assert_is(open_source(tmp_path)[0], 0)
    python2 = pickle.dumps(held, protocol=2).replace(b"numpy._core.", b"numpy.core.")
    (tmp_path / "a.npy").write_bytes(header + python2)
    assert_is(open_source(tmp_path)[0], 0)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_arrays_run_no_code(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    write_archive(tmp_path / "set" / "a.npy", 0, extra=Trap(sprung))
    source = open_source(tmp_path / "set")
    with pytest.raises(InputError, match="mkdir"):
        source[0]
    assert not sprung.exists()
    np.load(tmp_path / "set" / "a.npy", allow_pickle=True)
    assert sprung.is_dir()  # the trap is one


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "damaged"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "damaged"),
        (np.zeros((3, 3)), "plain array"),
        ({"img_blur": picture(0)}, "img_gt"),
        ({"img_blur": picture(0) / 255, "img_gt": picture(0)}, "float64"),
        ({"img_blur": 3, "img_gt": 4}, "img_blur"),
        ([1], "dict"),
    ],
)
def test_arrays_that_are_something_else(tmp_path: Path, content: object, part: str) -> None:
    path = tmp_path / "a.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)  # pyright: ignore
    with pytest.raises(InputError, match=part):
        open_source(tmp_path)[0]


def test_gopro(tmp_path: Path) -> None:
    make_gopro(tmp_path)
    source = open_source(tmp_path)
    assert source.layout == "gopro"
    assert source.names == ("test/GOPR2/000001", "train/GOPR1/000001", "train/GOPR1/000002")
    assert_is(source[0], 2, masked=False)
    gamma = open_source(tmp_path, split="train", blur="blur_gamma")
    assert gamma.names == ("GOPR1/000001", "GOPR1/000002")
    assert np.array_equal(gamma[1].blurred.permute(1, 2, 0).numpy(), picture(101))
    assert open_source(tmp_path / "train").layout == "gopro"
    with pytest.raises(InputError, match="blur_gama"):
        open_source(tmp_path, blur="blur_gama")


def test_options_that_are_no_text_are_named(tmp_path: Path) -> None:
    make_gopro(tmp_path)
    for layout, option in (("reloblur", "masks"), ("folder", "blurred"), ("gopro", "blur")):
        with pytest.raises(InputError, match=f"{option}=3: "):
            open_source(tmp_path, layout, **{option: 3})


def test_gopro_with_twins_of_other_endings(tmp_path: Path) -> None:
    make_gopro(tmp_path)
    sequence = tmp_path / "train/GOPR1"
    (sequence / "sharp/000001.png").rename(sequence / "sharp/000001.PNG")
    (sequence / "blur/._000002.png").write_bytes(b"of a Mac")
    source = open_source(tmp_path, split="train")
    assert source.names == ("GOPR1/000001", "GOPR1/000002")
    assert_is(source[0], 0, masked=False)
    (sequence / "sharp/000002.png").unlink()
    assert open_source(tmp_path).files[2].missing == (sequence / "sharp/000002.png",)
    save(sequence / "blur/000001.bmp", picture(0))
    with pytest.raises(InputError, match=r"000001\.bmp and .*000001\.png stand for the same"):
        open_source(tmp_path)


def test_hide(tmp_path: Path) -> None:
    for seed, place in enumerate(("train", "test/test-close-ups", "test/test-long-shot")):
        file = f"{seed}fromGOPR1.png"
        make_pair(tmp_path / place / file, tmp_path / "GT" / file, seed=seed)
    source = open_source(tmp_path)
    assert source.layout == "hide"
    assert source.names == (
        "test/test-close-ups/1fromGOPR1",
        "test/test-long-shot/2fromGOPR1",
        "train/0fromGOPR1",
    )
    assert_is(source[1], 2, masked=False)
    (tmp_path / "GT/1fromGOPR1.png").rename(tmp_path / "GT/1fromGOPR1.PNG")
    test = open_source(tmp_path / "test")
    assert (test.layout, len(test)) == ("hide", 2)
    assert_is(test[0], 1, masked=False)


def make_realblur(root: Path) -> Path:
    for seed, variant in enumerate("JR"):
        lines = []
        for number in (1, 2):
            folder = Path(f"RealBlur-{variant}_aligned") / "scene001"
            twins = folder / "gt" / f"gt_{number}.png", folder / "blur" / f"blur_{number}.png"
            lines.append(f"{twins[0]} {twins[1]} \n")
            make_pair(root / twins[1], root / twins[0], seed=2 * seed + number)
        for split, line in zip(("train", "test"), lines, strict=True):
            (root / f"RealBlur_{variant}_{split}_list.txt").write_text(line + "\n")
    return root


def test_realblur(tmp_path: Path) -> None:
    source = open_source(make_realblur(tmp_path))
    assert source.layout == "realblur"
    assert source.names == ("test/scene001/blur_2", "train/scene001/blur_1")
    assert_is(source[0], 2, masked=False)
    raw = open_source(tmp_path, split="test", variant="R")
    assert raw.names == ("scene001/blur_2",)
    assert_is(raw[0], 4, masked=False)
    listed = open_source(tmp_path / "RealBlur_R_train_list.txt")
    assert_is(listed[0], 3, masked=False)
    (tmp_path / "RealBlur_R_train_list.txt").write_text("alone\n")
    with pytest.raises(InputError, match="alone"):
        open_source(tmp_path, variant="R")
    with pytest.raises(InputError, match="RealBlur_J_val_list"):
        open_source(tmp_path, "realblur", split="val")


def test_realblur_r_alone(tmp_path: Path) -> None:
    make_realblur(tmp_path)
    for split in ("train", "test"):
        (tmp_path / f"RealBlur_J_{split}_list.txt").unlink()
        listed = tmp_path / f"RealBlur_R_{split}_list.txt"
        # As Windows' editor saves it: with a mark before the first word.
        listed.write_text(listed.read_text(), encoding="utf-8-sig", newline="\r\n")
    source = open_source(tmp_path)
    assert source.names == ("test/scene001/blur_2", "train/scene001/blur_1")
    assert_is(source[0], 4, masked=False)


def test_folder_of_suffixes(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "1_mask.png").unlink()
    make_pair(tmp_path / "sub/x_blur.png", tmp_path / "sub/x_sharp.bmp", seed=9)
    source = open_source(tmp_path)
    assert (source.layout, source.names) == ("folder", ("0", "1", "2", "sub/x"))
    assert_is(source[0], 0)
    assert_is(source[1], 1, masked=False)
    assert_is(source[3], 9, masked=False)


@pytest.mark.parametrize("kinds", [("blur", "sharp", "mask"), ("input", "target", "mask")])
def test_parallel_folders(tmp_path: Path, kinds: tuple[str, str, str]) -> None:
    for split, seed in (("train", 4), ("test", 5)):
        make_pair(*(tmp_path / split / kind / "a.png" for kind in kinds), seed)
    source = open_source(tmp_path)
    assert (source.layout, source.names) == ("folder", ("test/a", "train/a"))
    assert_is(source[1], 4)
    assert open_source(tmp_path, split="test").names == ("a",)


def test_hidden_folders_are_left_out(tmp_path: Path) -> None:
    make_folder(tmp_path, count=1)
    save(tmp_path / ".thumbnails" / "0_blur.png", picture(0))
    assert open_source(tmp_path).names == ("0",)


def test_folder_by_pattern(tmp_path: Path) -> None:
    make_pair(tmp_path / "shot 1 (moved).png", tmp_path / "still" / "1.png", seed=6)
    source = open_source(tmp_path, "folder", blurred="shot {name} (moved)", sharp="still/{name}")
    assert source.names == ("1",)
    assert_is(source[0], 6, masked=False)
    with pytest.raises(InputError, match="moved"):
        open_source(tmp_path, "folder", blurred="moved")


def test_masks_of_folders_have_soft_edges_and_any_white(tmp_path: Path) -> None:
    make_folder(tmp_path, count=2)
    soft = np.zeros((*SIZE[::-1], 3), np.uint8)
    soft[:10, :, 0], soft[10:12, :, 0] = 128, 40  # dark red, as a palette's first colour
    Image.fromarray(soft).save(tmp_path / "0_mask.png")
    save(tmp_path / "1_mask.png", np.zeros(SIZE[::-1], np.uint8))
    masks = [pair.blur_mask for pair in (open_source(tmp_path)[0], open_source(tmp_path)[1])]
    assert masks[0] is not None
    assert masks[0][0, :10].all()
    assert not masks[0][0, 10:].any()
    assert masks[1] is not None
    assert not masks[1].any()


def test_what_is_missing_is_named_and_listed(tmp_path: Path) -> None:
    make_folder(tmp_path, count=2)
    (tmp_path / "1_sharp.png").unlink()
    source = open_source(tmp_path)
    assert source.files[1].missing == (tmp_path / "1_sharp.png",)
    with pytest.raises(InputError, match=r"1_sharp\.png does not exist"):
        source[1]
    with pytest.raises(IndexError):
        source[2]


def test_unequal_sizes_are_an_error(tmp_path: Path) -> None:
    make_folder(tmp_path, count=1)
    save(tmp_path / "0_sharp.png", picture(0, (32, 24)))
    with pytest.raises(InputError, match="blurred 48x40 px, sharp 32x24 px"):
        open_source(tmp_path)[0]


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    make_folder(tmp_path, count=1)
    values = np.arange(48 * 40).reshape(40, 48).astype(np.uint16) * 30
    Image.fromarray(values).save(tmp_path / "0_sharp.png")
    sharp = open_source(tmp_path)[0].sharp
    assert torch.equal(sharp, torch.from_numpy(np.round(values / 257)).byte().expand(3, -1, -1))


@pytest.mark.parametrize(
    ("layout", "options", "part"),
    [
        ("gropo", {}, "gropo"),
        ("gopro", {}, "holds no GoPro"),
        ("hide", {}, "holds no HIDE"),
        ("realblur", {}, "RealBlur_J_test_list.txt"),
        ("auto", {"split": "val"}, "no folder val"),
        ("auto", {"masks": "x"}, "folder has no option 'masks': it has blurred, mask, sharp"),
        ("auto", {"blurred": "{name}_x"}, "holds no pair"),
    ],
)
def test_what_is_not_there_is_an_error(
    tmp_path: Path, layout: str, options: dict[str, str], part: str
) -> None:
    make_folder(tmp_path)
    with pytest.raises(InputError, match=part):
        open_source(tmp_path, layout, **options)  # pyright: ignore


def test_paths_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no ReLoBlur"):
        open_source(tmp_path, "reloblur")
    with pytest.raises(InputError, match="is a file"):
        open_source(save(tmp_path / "a.png", picture(0)))
    with pytest.raises(InputError, match="holds no pair"):
        open_source(tmp_path)


def test_names_are_unique(tmp_path: Path) -> None:
    make_folder(tmp_path, count=1)
    save(tmp_path / "0_blur.bmp", picture(3))
    with pytest.raises(InputError, match=r"0_blur\.bmp and .*0_blur\.png"):
        open_source(tmp_path)
    files = open_source(make_folder(tmp_path / "other")).files
    with pytest.raises(InputError, match="two pairs"):
        FileSource("folder", [files[0], files[0]])

"""One photo: where the result goes, what is printed, what is refused."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .makers import Run, make_photo, names, pixels

TOUCH_ALL = ("--threshold", "0")
TOUCH_NOTHING = ("--threshold", "1")


def test_result_lies_beside_the_photo_and_one_line_tells(photo: Path, run: Run) -> None:
    ended = run(photo, *TOUCH_ALL)
    assert ended.code == 0, ended.err
    assert names() == ["photo.png", "photo.unsmeared.png"]
    line = ended.out.splitlines()
    assert len(line) == 1
    assert line[0].startswith("photo.unsmeared.png  ")
    assert "% touched" in line[0]
    assert line[0].endswith(" s")
    assert (pixels(Path("photo.unsmeared.png")) != pixels(photo)).any()


def test_a_sharp_photo_comes_back_as_the_same_bytes_and_is_told(photo: Path, run: Run) -> None:
    ended = run(photo, *TOUCH_NOTHING)
    assert ended.code == 0
    assert "nothing to do: no motion blur found" in ended.out
    assert Path("photo.unsmeared.png").read_bytes() == photo.read_bytes()


def test_a_box_too_small_to_change_anything_says_so(photo: Path, run: Run) -> None:
    ended = run(photo, "--box", "8,8,1,1")
    assert ended.code == 0
    assert "nothing changed in the marked part" in ended.out


def test_only_the_box_changes(photo: Path, run: Run) -> None:
    assert run(photo, "--box", "8,8,16,24", "--box", "40,0,8,8").code == 0
    changed = (pixels(Path("photo.unsmeared.png")) != pixels(photo)).any(axis=2)
    allowed = np.zeros_like(changed)
    allowed[8:32, 8:24] = allowed[0:8, 40:48] = True
    assert changed.any()
    assert not changed[~allowed].any()


def test_only_the_white_of_the_mask_changes(photo: Path, run: Run) -> None:
    mask = np.zeros((56, 72), dtype=np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(mask).save("mask.png")
    assert run(photo, "--mask", "mask.png").code == 0
    changed = (pixels(Path("photo.unsmeared.png")) != pixels(photo)).any(axis=2)
    assert changed.any()
    assert not changed[mask == 0].any()


def test_a_mask_of_another_size_is_refused(photo: Path, run: Run) -> None:
    make_photo(Path("mask.png"), size=(50, 40))
    ended = run(photo, "--mask", "mask.png")
    assert ended.code == 2
    assert "50 x 40" in ended.err
    assert "72 x 56" in ended.err
    assert names() == ["mask.png", "photo.png"]


def test_strength_nought_changes_nothing(photo: Path, run: Run) -> None:
    ended = run(photo, *TOUCH_ALL, "--strength", "0")
    assert "nothing to do: the strength is 0" in ended.out
    assert Path("photo.unsmeared.png").read_bytes() == photo.read_bytes()


def test_strength_blends(photo: Path, run: Run) -> None:
    assert run(photo, "--whole", "-o", "full.png").code == 0
    assert run(photo, "--whole", "--strength", "0.5", "-o", "half.png").code == 0
    before, full, half = (
        pixels(path).astype(float) for path in (photo, Path("full.png"), Path("half.png"))
    )
    assert np.abs(half - (before + full) / 2).max() <= 1


def test_output_file_decides_the_format(photo: Path, run: Run) -> None:
    assert run(photo, "-o", "better.jpg", *TOUCH_ALL).code == 0
    assert Image.open("better.jpg").format == "JPEG"


def test_output_folder_keeps_the_name(photo: Path, run: Run) -> None:
    Path("there").mkdir()
    assert run(photo, "-o", "there").code == 0
    assert run(photo, "-o", "new/").code == 0
    assert names() == ["new/photo.png", "photo.png", "there/photo.png"]


def test_the_folder_of_the_photo_itself_gets_a_marked_name(photo: Path, run: Run) -> None:
    assert run(photo, "-o", ".").code == 0
    assert names() == ["photo.png", "photo.unsmeared.png"]


def test_content_and_not_the_name_decides_the_default_ending(photo: Path, run: Run) -> None:
    photo.rename("photo")
    make_photo(Path("wrong.jpg")).rename("really.png")
    assert run("photo").code == 0
    assert run("really.png").code == 0
    assert names() == ["photo", "photo.unsmeared.png", "really.png", "really.unsmeared.jpg"]


def test_an_existing_output_stays_unless_asked(photo: Path, run: Run) -> None:
    Path("photo.unsmeared.png").write_bytes(b"mine")
    ended = run(photo)
    assert ended.code == 2
    assert "photo.unsmeared.png already exists" in ended.err
    assert Path("photo.unsmeared.png").read_bytes() == b"mine"
    assert run(photo, "--overwrite").code == 0
    assert Image.open("photo.unsmeared.png").size == (72, 56)


def test_the_photo_is_replaced_only_in_place(photo: Path, run: Run) -> None:
    before = photo.read_bytes()
    ended = run(photo, "-o", "photo.png", "--overwrite")
    assert ended.code == 2
    assert "--in-place" in ended.err
    assert photo.read_bytes() == before
    ended = run(photo, "--in-place", *TOUCH_ALL)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("photo.png  ")
    assert photo.read_bytes() != before
    assert names() == ["photo.png"]


def test_in_place_loses_no_pages(photo: Path, run: Run) -> None:
    pages = [Image.new("RGB", (40, 24), colour) for colour in ("red", "blue")]
    pages[0].save("scan.tif", save_all=True, append_images=pages[1:])
    before = Path("scan.tif").read_bytes()
    ended = run("scan.tif", "--in-place", *TOUCH_ALL)
    assert ended.code == 2
    assert ended.err == (
        "unsmear: scan.tif has several pages, and only the first one would be left: write the "
        "result to another file\n"
    )
    assert Path("scan.tif").read_bytes() == before


def test_in_place_leaves_a_sharp_photo_alone(photo: Path, run: Run) -> None:
    before = photo.stat()
    assert run(photo, "--in-place", *TOUCH_NOTHING).code == 0
    after = photo.stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_in_place_keeps_a_format_that_the_name_denies(photo: Path, run: Run) -> None:
    wrong = photo.rename("wrong.jpg")
    before = wrong.read_bytes()
    assert run(wrong, "--in-place", *TOUCH_ALL).code == 0
    assert wrong.read_bytes() != before
    assert Image.open(wrong).format == "PNG"
    assert names() == ["wrong.jpg"]


def test_stdin_to_stdout(photo: Path, run: Run) -> None:
    ended = run("-", *TOUCH_ALL, stdin=photo.read_bytes())
    assert ended.code == 0
    assert pixels(ended.raw).shape == (56, 72, 3)
    assert (pixels(ended.raw) != pixels(photo)).any()
    assert "% touched" in ended.err
    assert names() == ["photo.png"]


def test_photo_to_stdout_and_stdin_to_file(photo: Path, run: Run) -> None:
    assert run(photo, "-o", "-", *TOUCH_NOTHING).raw == photo.read_bytes()
    assert run("-", "-o", "made.png", stdin=photo.read_bytes()).code == 0
    assert names() == ["made.png", "photo.png"]


def test_broken_stdin_leaves_stdout_empty(photo: Path, run: Run) -> None:
    ended = run("-", stdin=b"no picture")
    assert ended.code == 2
    assert ended.raw == b""
    assert len(ended.err.splitlines()) == 1


def test_blur_map_and_figures(photo: Path, run: Run) -> None:
    ended = run(photo, "--blur-map", "map.png", "--json", "figures.json", *TOUCH_ALL)
    assert ended.code == 0
    blur_map = Image.open("map.png")
    assert (blur_map.mode, blur_map.size) == ("L", (72, 56))
    figures = json.loads(Path("figures.json").read_text())
    assert figures["input"] == "photo.png"
    assert figures["output"] == "photo.unsmeared.png"
    assert figures["blur_map"] == "map.png"
    assert (figures["width"], figures["height"]) == (72, 56)
    assert 0 < figures["touched_fraction"] <= 1
    assert figures["kept_windows"]
    saved = figures["multiply_adds_dense"] - figures["multiply_adds_spent"]
    assert figures["multiply_adds_saved"] == saved
    assert {"blurred_fraction", "seconds", "model", "device", "version"} <= set(figures)


def test_blur_map_goes_into_a_folder(photo: Path, run: Run) -> None:
    Path("maps").mkdir()
    assert run(photo, "--blur-map", "maps").code == 0
    assert "maps/photo.unsmeared.blur-map.png" in names()


def test_figures_alone_on_stdout(photo: Path, run: Run) -> None:
    ended = run(photo, "--json", "-")
    assert json.loads(ended.out)["input"] == "photo.png"
    assert "photo.unsmeared.png" in ended.err


def test_quiet_is_quiet(photo: Path, run: Run) -> None:
    ended = run(photo, "-q")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_tiles_are_told_in_the_figures(photo: Path, run: Run) -> None:
    make_photo(Path("wide.png"), size=(300, 40))
    assert run("wide.png", "--tile", "128", "--json", "figures.json").code == 0
    assert json.loads(Path("figures.json").read_text())["tiles"] == 3


def test_a_file_named_like_a_command_is_reached(photo: Path, run: Run) -> None:
    photo.rename("models")
    assert run("./models").code == 0
    assert names() == ["models", "models.unsmeared.png"]


def test_sixteen_bits_and_alpha_come_back(photo: Path, run: Run) -> None:
    rgba = np.dstack([pixels(photo), np.arange(72, dtype=np.uint8)[None].repeat(56, axis=0)])
    Image.fromarray(rgba).save("alpha.png")
    assert run("alpha.png", *TOUCH_ALL).code == 0
    result = pixels(Path("alpha.unsmeared.png"))
    assert np.array_equal(result[..., 3], rgba[..., 3])
    assert (result[..., :3] != rgba[..., :3]).any()


BAD_FILES = {
    "missing.jpg": None,
    "empty.jpg": b"",
    "text.jpg": b"this is no picture at all",
    "cut.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_sentence_code_2_and_no_output(name: str, photo: Path, run: Run) -> None:
    content = BAD_FILES[name]
    if content is not None:
        Path(name).write_bytes(content)
    before = names()
    ended = run(name, "--blur-map", "map.png", "--json", "figures.json")
    assert ended.code == 2
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    assert name in ended.err
    assert "Traceback" not in ended.err
    assert names() == before


def test_too_many_pixels(photo: Path, run: Run) -> None:
    ended = run(photo, "--max-pixels", "4031")
    assert ended.code == 2
    assert "4,031" in ended.err
    assert run(photo, "--max-pixels", "4032").code == 0


BAD_OPTIONS = {
    "in-place with output": (("photo.png", "--in-place", "-o", "x.png"), "choose one"),
    "in-place from stdin": (("-", "--in-place"), "--in-place"),
    "stdin among others": (("-", "photo.png"), "name it alone"),
    "picture and figures on stdout": (("photo.png", "-o", "-", "--json", "-"), "stdout"),
    "dense with threshold": (("photo.png", "--dense", "--threshold", "0.2"), "choose one"),
    "threshold": (("photo.png", "--threshold", "1.5"), "between 0 and 1"),
    "not a number": (("photo.png", "--threshold", "nan"), "between 0 and 1"),
    "strength": (("photo.png", "--strength", "-1"), "between 0 and 1"),
    "strength in words": (("photo.png", "--strength", "much"), "--strength"),
    "box of three": (("photo.png", "--box", "1,2,3"), "X,Y,W,H"),
    "box without size": (("photo.png", "--box", "1,2,0,4"), "X,Y,W,H"),
    "box outside": (("photo.png", "--box", "500,0,4,4"), "outside"),
    "tile": (("photo.png", "--tile", "0"), "--tile"),
    "device": (("photo.png", "--device", "toaster"), "toaster"),
    "number type": (("photo.png", "--dtype", "float7"), "float7"),
    "model": (("photo.png", "--model", "lmdvit-huge"), "lmdvit-huge"),
    "broken model": (("photo.png", "--model", "photo.png"), "photo.png"),
    "unknown option": (("photo.png", "--sharper"), "--sharper"),
    "no photo": (("--dense",), "PHOTO"),
    "no such folder": (("photo.png", "-o", "nowhere/x.png"), "nowhere"),
    "no such format": (("photo.png", "-o", "x.gif"), "x.gif"),
    "map's format": (("photo.png", "--blur-map", "map.txt"), "map.txt"),
    "map's folder": (("photo.png", "--blur-map", "nowhere/map.png"), "nowhere"),
    "map is the result": (("photo.png", "-o", "x.png", "--blur-map", "x.png"), "both"),
    "map over the photo": (("photo.png", "--blur-map", "photo.png", "--overwrite"), "itself"),
    "figures over the photo": (("photo.png", "--json", "photo.png", "--overwrite"), "--json"),
    "figures' folder": (("photo.png", "--json", "nowhere/x.json"), "nowhere"),
    "address": (("https://host/a.jpg",), "https://host/a.jpg is an address"),
    "address among others": (("photo.png", "file:///tmp/a.jpg"), "file:///tmp/a.jpg is an address"),
    "missing mask": (("photo.png", "--mask", "nowhere.png"), "nowhere.png"),
    "empty photo": (("", "--in-place"), "empty"),
    "empty photo among others": (("photo.png", ""), "empty"),
    "empty output": (("photo.png", "-o", ""), "empty"),
    "empty output after a sign": (("photo.png", "--output="), "empty"),
    "empty map": (("photo.png", "--blur-map", ""), "empty"),
    "empty mask": (("photo.png", "--mask", ""), "empty"),
    "empty figures": (("photo.png", "--json", ""), "empty"),
    "empty model": (("photo.png", "--model", ""), "empty"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_a_bad_option_is_one_sentence_code_2_and_no_output(
    case: str, photo: Path, run: Run
) -> None:
    words, part = BAD_OPTIONS[case]
    before = photo.read_bytes()
    ended = run(*words)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert part in ended.err
    assert ended.out == ""
    assert names() == ["photo.png"]
    assert photo.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "mask.png"),
        ("-o", "link.png"),
        ("--blur-map", "mask.png"),
        ("--json", "mask.png"),
        ("--json", "below/../mask.png"),
        ("--json", "below/../photo.png"),
        ("--json", "model"),
        ("--manifest", "m.jsonl", "--json", "model"),
        ("mask.png", "--in-place"),
    ],
)
def test_nothing_that_is_read_is_replaced(
    words: tuple[str, ...], photo: Path, checkpoint: Path, run: Run
) -> None:
    Path("below").mkdir()
    make_photo(Path("mask.png"), seed=1)
    Path("link.png").symlink_to("mask.png")
    Path("model").write_bytes(checkpoint.read_bytes())
    before = {name: Path(name).read_bytes() for name in names()}
    ended = run(photo, "--mask", "mask.png", "--model", "model", "--overwrite", *words)
    assert ended.code == (1 if "--in-place" in words else 2)
    assert len(ended.err.splitlines()) == 1
    assert Path(words[-1]).name in ended.err or "mask.png" in ended.err
    after = {name: Path(name).read_bytes() for name in names()}
    after["photo.png"] = before["photo.png"]
    assert after == before


def test_existing_map_and_figures_stay(photo: Path, run: Run) -> None:
    for option in ("--blur-map", "--json"):
        Path("x.png").write_bytes(b"mine")
        assert run(photo, option, "x.png").code == 2
        assert names() == ["photo.png", "x.png"]
        assert Path("x.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("locked.png", "--in-place"), "locked.png is write-protected"),
        (("link.png", "--in-place"), "link.png is write-protected"),
        (("photo.png", "-o", "locked.png", "--overwrite"), "locked.png is write-protected"),
        (("locked/in.png",), "locked is no folder"),
        (("locked/in.png", "--in-place"), "locked is no folder"),
        (("photo.png", "-o", "locked/out.png"), "locked is no folder"),
        (("photo.png", "-o", "locked/deep/"), "locked is no folder"),
        (("photo.png", "-o", "notes/deep/"), "notes is no folder"),
        (("photo.png", "--blur-map", "locked/map.png"), "locked is no folder"),
        (("photo.png", "link.png", "-o", "locked/deep"), "locked is no folder"),
    ],
)
def test_a_result_that_could_not_be_written_costs_no_time(
    words: tuple[str, ...], named: str, photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo(Path("locked.png")).chmod(0o444)
    Path("link.png").symlink_to("locked.png")
    make_photo(Path("locked/in.png"))
    Path("locked").chmod(0o555)
    Path("notes").write_text("a file")
    # Nothing is protected from root, as whom tests may run.
    monkeypatch.setattr("os.access", lambda path, _: bool(Path(path).stat().st_mode & 0o222))
    monkeypatch.setattr("unsmear.batch.worker.Worker.deblur", lambda *_: pytest.fail("worked on"))
    before = names()
    ended = run(*words)
    assert ended.code == 2
    assert named in ended.err
    assert names() == before


def test_figures_that_could_not_be_written_cost_no_time(photo: Path, run: Run) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("wants a folder in which nobody can make a file")
    for photos in (("photo.png",), ("photo.png", "other.png")):
        ended = run(*photos, "--json", "/proc/figures.json")
        assert ended.code == 2
        assert ended.err.startswith("unsmear: /proc/figures.json cannot be written (")
        assert names() == ["photo.png"]


def test_figures_that_fail_at_last_leave_the_picture(
    photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo(Path("other.png"))
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    for photos, there in (
        (("photo.png",), "photo.unsmeared.png  "),
        (("photo.png", "other.png"), "other.unsmeared.png  "),
    ):
        ended = run(*photos, "--json", "figures.json")
        assert ended.code == 1
        assert ended.err.startswith("unsmear: figures.json cannot be written (No space left on")
        assert len(ended.err.splitlines()) == 1
        assert there in ended.out
        assert not any("json" in name or "tmp" in name for name in names())


@pytest.mark.parametrize(
    "words", [("--version",), ("photo.png", "--json", "-"), ("photo.png", "-o", "-")]
)
def test_a_stdout_without_room_is_named(
    words: tuple[str, ...], photo: Path, checkpoint: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("wants a disk that is full")
    command = [
        sys.executable,
        "-m",
        "unsmear",
        *words,
        "--model",
        str(checkpoint),
        "--device",
        "cpu",
    ]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == (2 if "-o" in words else 1)
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("unsmear: stdout cannot be written (No space left on device)")
    assert "Traceback" not in ended.stderr


def test_a_result_is_not_taken_for_a_photo(photo: Path, run: Run) -> None:
    photo.rename("photo.unsmeared.png")
    ended = run("photo.unsmeared.png")
    assert ended.code == 2
    assert "result" in ended.err
    assert run("photo.unsmeared.png", "-o", "again.png").code == 0


def test_a_threshold_without_effect_is_told(photo: Path, run: Run) -> None:
    ended = run(photo, "--box", "0,0,8,8", "--threshold", "0.3")
    assert ended.code == 0
    assert ended.err.startswith("warning: --threshold has no effect")


def test_warnings_of_the_engine_are_lines_with_the_photos_name(
    photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsmear.inference.composite.LARGEST_DRIFT", -1.0)
    ended = run(photo, "--whole")
    assert ended.code == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("warning: photo.png: ")
    assert "left as it was" in ended.out
    assert Path("photo.unsmeared.png").read_bytes() == photo.read_bytes()


def test_ctrl_c_is_130_and_leaves_nothing(
    photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    ended = run(photo, "--blur-map", "map.png")
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert names() == ["photo.png"]

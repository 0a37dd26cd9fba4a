"""Several photos and folders."""

from __future__ import annotations

import errno
import itertools
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from .makers import Run, make_photo, names

PATIENCE = 20  # s; waited in full only by a test that fails


@pytest.fixture
def album(photo: Path) -> Path:
    """A folder with two photos, a text, a hidden file, a lone result, and a third photo deeper."""
    photo.unlink()
    folder = Path("album")
    make_photo(folder / "a.png")
    make_photo(folder / "b.JPG", seed=1)
    make_photo(folder / "old.unsmeared.png")
    make_photo(folder / "deep" / "er" / "c.png", seed=2)
    make_photo(folder / ".hidden.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_folder_and_then_nothing_the_second_time(album: Path, run: Run) -> None:
    before = names()
    ended = run(album, "--threshold", "0")
    assert ended.code == 0, ended.err
    assert set(names()) - set(before) == {"album/a.unsmeared.png", "album/b.unsmeared.JPG"}
    assert ended.out.splitlines()[-1] == "2 done"
    stamps = {name: Path(name).stat().st_mtime_ns for name in names()}
    again = run(album)
    assert again.code == 0
    assert again.out.startswith("0 done, 2 done before")
    assert {name: Path(name).stat().st_mtime_ns for name in names()} == stamps


def test_a_wrong_ending_is_done_once_too(album: Path, run: Run) -> None:
    (album / "b.JPG").rename(album / "b.png")
    assert run(album, "--threshold", "1").out.endswith("2 done (2 of them unchanged)\n")
    assert "album/b.unsmeared.jpg" in names()
    before = names()
    again = run(album)
    assert again.code == 0
    assert again.out.startswith("0 done, 2 done before")
    assert names() == before


def test_recursive_keeps_the_tree(album: Path, run: Run) -> None:
    assert run("-r", album, "-o", "restored").code == 0
    assert names(Path("restored")) == ["a.png", "b.JPG", "deep/er/c.png"]


def test_an_output_folder_inside_is_not_an_input(album: Path, run: Run) -> None:
    words = ("-r", album, "-o", album / "restored", "--blur-map", album / "maps")
    assert run(*words).code == 0
    assert names(album / "restored") == ["a.png", "b.JPG", "deep/er/c.png"]
    assert names(album / "maps") == [
        "a.unsmeared.blur-map.png",
        "b.unsmeared.blur-map.png",
        "deep/er/c.unsmeared.blur-map.png",
    ]
    before = names()
    assert run(*words).out.startswith("0 done, 3 done before")
    assert run("-r", album, "-o", album / "restored").out.startswith("0 done, 3 done before")
    assert names() == before


def test_folder_as_its_own_output(album: Path, run: Run) -> None:
    assert run(album, "-o", album).code == 0
    assert "album/a.unsmeared.png" in names()


def test_overwrite_does_all_again(album: Path, run: Run) -> None:
    run(album)
    assert run(album, "--overwrite", "--threshold", "0").out.endswith("2 done\n")


def test_one_bad_photo_does_not_stop_the_others(album: Path, run: Run) -> None:
    (album / "aa.png").write_text("not a picture")
    ended = run(album, "missing.png", "--json", "figures.json", "--threshold", "0")
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 2
    assert "aa.png" in ended.err
    assert "missing.png" in ended.err
    assert ended.out.splitlines()[-1] == "2 done, 2 failed"
    figures = json.loads(Path("figures.json").read_text())
    assert [one["input"] for one in figures] == ["album/a.png", "album/b.JPG"]


@pytest.mark.parametrize("named", [True, False])
def test_nor_does_one_whose_results_name_is_too_long(named: bool, album: Path, run: Run) -> None:
    (album / "a.png").rename(album / f"{'a' * 251}.png")
    photos = sorted(path for path in album.iterdir() if path.suffix in (".png", ".JPG"))
    ended = run(*(photos if named else [album]), "--threshold", "0")
    assert ended.code == 1
    assert "File name too long" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert "album/b.unsmeared.JPG" in names()
    assert run(album, "-o", "out", "--threshold", "0").out.endswith("2 done\n")


def test_memory_that_runs_out_is_a_sentence_about_that_photo(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsmear.inference import Deblurrer

    deblur, calls = Deblurrer.deblur, []

    def fail_once(*words: object, **named: object) -> object:
        calls.append(words)
        if len(calls) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")
        return deblur(*words, **named)  # pyright: ignore

    monkeypatch.setattr(Deblurrer, "deblur", fail_once)
    ended = run(album, "--threshold", "0")
    assert ended.code == 1
    assert "album/a.png does not fit into memory" in ended.err
    assert ended.out.splitlines()[-1] == "1 done, 1 failed"


def test_memory_that_runs_out_while_writing_is_one_too(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsmear.batch import worker

    write = worker.write_picture

    def fail_for_a(picture: object, path: Path, **others: object) -> None:
        if path.name == "a.unsmeared.png":
            raise MemoryError
        write(picture, path, **others)  # pyright: ignore

    monkeypatch.setattr(worker, "write_picture", fail_for_a)
    ended = run(album, "--threshold", "0")
    assert ended.code == 1
    assert "album/a.png does not fit into memory" in ended.err
    assert ended.out.splitlines()[-1] == "1 done, 1 failed"


@pytest.fixture
def late_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first result is written only when the second photo has been read."""
    from unsmear.batch import worker

    read, write = worker.read_picture, worker.write_picture
    photos_read, second = [], threading.Event()

    def read_then_tell(*words: object, **others: object) -> object:
        picture = read(*words, **others)  # pyright: ignore
        photos_read.append(words)
        if len(photos_read) == 2:
            second.set()
        return picture

    def wait_then_write(*words: object, **others: object) -> None:
        assert second.wait(PATIENCE)
        write(*words, **others)  # pyright: ignore

    monkeypatch.setattr(worker, "read_picture", read_then_tell)
    monkeypatch.setattr(worker, "write_picture", wait_then_write)


@pytest.mark.usefixtures("late_writing")
def test_lines_come_in_the_order_of_the_photos(album: Path, run: Run) -> None:
    pages = [Image.new("RGB", (40, 24), colour) for colour in ("red", "blue")]
    pages[0].save(album / "aa.tif", save_all=True, append_images=pages[1:])
    (album / "aaa.png").write_text("not a picture")
    ended = run(album, "--json", "-")
    a, warning, aa, aaa, b, _ = ended.err.splitlines()
    assert a.startswith("album/a.unsmeared.png  ")
    assert warning.startswith("warning: album/aa.tif has several pages: only the first one is used")
    assert aa.startswith("album/aa.unsmeared.tif  ")
    assert aaa.startswith("unsmear: album/aaa.png")
    assert b.startswith("album/b.unsmeared.JPG  ")
    figures = [one["input"] for one in json.loads(ended.out)]
    assert figures == ["album/a.png", "album/aa.tif", "album/b.JPG"]


@pytest.mark.parametrize("misnamed", ["d.bmp", "d.png"])
def test_a_result_whose_name_is_anothers_is_refused_each_time(
    misnamed: str, album: Path, run: Run
) -> None:
    shutil.copy(album / "b.JPG", album / misnamed)  # a JPEG, whatever its name says
    (album / "b.JPG").rename(album / "d.jpg")
    (album / "a.png").unlink()
    told = f"unsmear: album/d.jpg and album/{misnamed} would both be written to album/d.unsmeared"
    for words, ending in (
        ((), "1 done, 1 failed"),
        ((), "0 done, 1 done before (--overwrite does them again), 1 failed"),
        (("--overwrite",), "1 done, 1 failed"),
    ):
        ended = run(album, "--threshold", "0", *words)
        assert ended.code == 1
        assert ended.err.startswith(told)
        assert ended.out.splitlines()[-1] == ending


def test_a_large_photo_waits_until_the_one_before_is_written(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsmear.batch import run as batch_run
    from unsmear.batch import worker
    from unsmear.inference import Deblurrer

    write, deblur, written = worker.write_picture, Deblurrer.deblur, []

    def write_slowly(*words: object, **others: object) -> None:
        time.sleep(0.1)
        write(*words, **others)  # pyright: ignore

    def look_then_deblur(*words: object) -> object:
        written.append(Path("album/a.unsmeared.png").exists())
        return deblur(*words)  # pyright: ignore

    monkeypatch.setattr(batch_run, "LARGE", 100)
    monkeypatch.setattr(worker, "write_picture", write_slowly)
    monkeypatch.setattr(Deblurrer, "deblur", look_then_deblur)
    assert run(album).code == 0
    assert written == [False, True]


@pytest.fixture
def four_cores() -> Iterator[None]:
    """What torch says of the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_cores")
def test_small_photos_share_the_cores(
    photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsmear.batch import worker
    from unsmear.inference import Deblurrer

    photo.unlink()
    for number in range(6):
        make_photo(Path("album", f"{number}.png"), seed=number)
    monkeypatch.setattr(worker, "MOST_ABREAST", 1)
    assert run("album", "-o", "alone", "--threshold", "0").code == 0
    monkeypatch.setattr(worker, "MOST_ABREAST", 2)
    deblur, cores = Deblurrer.deblur, []
    meet = threading.Barrier(2, timeout=PATIENCE)

    def deblur_beside_another(*words: object) -> object:
        cores.append(torch.get_num_threads())
        if 1 < len(cores) < 4:  # the first photo is alone: it makes the engine
            meet.wait()
        return deblur(*words)  # pyright: ignore

    monkeypatch.setattr(Deblurrer, "deblur", deblur_beside_another)
    ended = run("album", "-o", "together", "--threshold", "0", "--json", "-")
    assert ended.code == 0, ended.err
    assert cores == [4, 2, 2, 2, 2, 2]
    assert torch.get_num_threads() == 4
    figures = [one["input"] for one in json.loads(ended.out)]
    assert figures == [f"album/{number}.png" for number in range(6)]
    for number in range(6):
        alone, together = (Path(name, f"{number}.png") for name in ("alone", "together"))
        assert alone.read_bytes() == together.read_bytes()


def test_ctrl_c_leaves_what_is_finished(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsmear.inference import Deblurrer

    deblur, calls, before = Deblurrer.deblur, [], names()

    def interrupt_second(*words: object) -> object:
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return deblur(*words)  # pyright: ignore

    monkeypatch.setattr(Deblurrer, "deblur", interrupt_second)
    ended = run(album)
    assert ended.code == 130
    assert ended.out.splitlines()[0].startswith("album/a.unsmeared.png  ")
    assert ended.err == "unsmear: stopped\n"
    assert set(names()) - set(before) == {"album/a.unsmeared.png"}
    assert Image.open("album/a.unsmeared.png").size == (72, 56)


def test_ctrl_c_while_writing_leaves_nothing_half_written(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = names()
    monkeypatch.setattr("os.fsync", interrupt)
    assert run(album, "--blur-map", "maps").code == 130
    assert names() == before


def test_a_disk_too_full_for_a_result_has_no_map_of_it_in_the_way(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names()
    with monkeypatch.context() as full:
        calls = itertools.count()

        def sync(_: int) -> None:
            if next(calls) % 2:  # the map, which is small, is written first
                raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr("os.fsync", sync)
        ended = run(album, "--blur-map", "maps")
    assert ended.code == 2
    assert "No space left on device" in ended.err
    assert names() == before
    assert run(album, "--blur-map", "maps").code == 0


def test_an_output_folder_that_cannot_be_made(album: Path, run: Run) -> None:
    Path("file").write_text("in the way")
    ended = run(album, "-o", "file/restored")
    assert ended.code == 2
    assert "file/restored" in ended.err
    assert len(ended.err.splitlines()) == 2


@pytest.mark.parametrize("option", ["--device", "--model"])
def test_an_engine_that_cannot_start_is_told_once(option: str, album: Path, run: Run) -> None:
    before = names()
    ended = run(album, option, "mps" if option == "--device" else "album/notes.txt")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert names() == before


def test_all_bad_is_code_2(photo: Path, run: Run) -> None:
    ended = run("x.png", "y.png")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 2


def test_named_photos_with_a_result_among_them(photo: Path, run: Run) -> None:
    make_photo(Path("other.png"))
    assert run("photo.png", "other.png").code == 0
    # What a shell makes of *.png the second time.
    again = run("other.png", "other.unsmeared.png", "photo.png", "photo.unsmeared.png")
    assert again.code == 0
    assert again.out.startswith("0 done, 2 done before")


def test_two_links_to_one_photo_are_not_replaced_at_once(album: Path, run: Run) -> None:
    link = album / "link.png"
    link.symlink_to(Path("a.png"))
    before = (album / "a.png").read_bytes()
    ended = run(album / "a.png", link, "--in-place", "--threshold", "0")
    assert ended.code == 2
    assert "would both be written" in ended.err
    assert (album / "a.png").read_bytes() == before


def test_in_place_folder(album: Path, run: Run) -> None:
    before, contents = names(), (album / "a.png").read_bytes()
    assert run(album, "--in-place", "--threshold", "0").code == 0
    assert names() == before
    assert (album / "a.png").read_bytes() != contents


def test_an_empty_folder_says_so(photo: Path, run: Run) -> None:
    Path("empty/below").mkdir(parents=True)
    ended = run("empty")
    assert ended.code == 2
    assert "empty holds no pictures: use -r" in ended.err


def test_a_mask_must_fit_each(album: Path, run: Run) -> None:
    make_photo(Path("mask.png"))
    make_photo(album / "large.png", size=(80, 80))
    ended = run(album, "--mask", "mask.png")
    assert ended.code == 1
    assert "80 x 80" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("album", "-o", "x.png"), "folder"),
        (("album", "-o", "notes"), "notes"),
        (("album", "-o", "-"), "stdout"),
        (("album", "--blur-map", "x.png"), "folder"),
        (("album/a.png", "album/deep/a.png", "-o", "out"), "both"),
        (("album/a.png", "album/deep/a.png", "-o", "album"), "replace the photo"),
        (("album/a.png", "album/deep/a.png", "-o", "album", "--overwrite"), "replace the photo"),
    ],
)
def test_places_that_cannot_be(words: tuple[str, ...], part: str, album: Path, run: Run) -> None:
    make_photo(album / "deep" / "a.png")
    Path("notes").write_text("a file")
    before = names()
    ended = run(*words)
    assert ended.code == 2
    assert part in ended.err
    assert names() == before

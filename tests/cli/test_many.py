"""Very many photos: runs that go on where they were, and what failed."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from unsmear.errors import OutputError

from .makers import Run, make_photo, names

KEPT = ("-r", "album", "-o", "out", "--manifest", "m.jsonl")
ALL = (*KEPT, "--threshold", "0")
FULL = Path("/dev/full")  # a disk without room
needs_a_full_disk = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")


@pytest.fixture
def album(photo: Path) -> Path:
    """A folder with three photos, one of them deeper."""
    photo.unlink()
    for seed, name in enumerate(("a.png", "b.png", "deep/c.png")):
        make_photo(Path("album", name), seed=seed)
    return Path("album")


def rows(state: str) -> list[dict[str, Any]]:
    lines = map(json.loads, Path("m.jsonl").read_text().splitlines())
    return [row for row in lines if row.get("state") == state]


def test_a_rerun_does_what_changed_and_no_more(album: Path, run: Run) -> None:
    assert run(*ALL).out.endswith("\n3 done\n")
    assert [Path(row["input"]).name for row in rows("done")] == ["a.png", "b.png", "c.png"]
    assert run(*ALL).out.startswith("0 done, 3 done before")
    shutil.copy(album / "a.png", album / "b.png")
    Path("out/a.png").unlink()
    make_photo(album / "d.png", seed=3)
    ended = run(*ALL)
    lines = [line.split()[0] for line in ended.out.splitlines()]
    assert lines == ["out/a.png", "out/b.png", "out/d.png", "3"]
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()
    assert len(rows("done")) == 6


def test_other_settings_do_all_again(album: Path, run: Run) -> None:
    run(*ALL)
    touched = Path("out/a.png").read_bytes()
    ended = run(*KEPT, "--threshold", "1")
    assert ended.out.endswith("3 done (3 of them unchanged)\n")
    assert Path("out/a.png").read_bytes() == (album / "a.png").read_bytes() != touched


def test_results_that_it_does_not_know_are_left_alone(album: Path, run: Run) -> None:
    Path("out").mkdir()
    Path("out/a.png").write_bytes(b"mine")
    assert run(*ALL).out.splitlines()[-1].startswith("2 done, 1 done before")
    assert Path("out/a.png").read_bytes() == b"mine"
    assert run(*ALL, "--overwrite").out.endswith("3 done\n")
    assert Path("out/a.png").read_bytes() != b"mine"


def test_so_are_those_that_a_wrong_ending_hid(album: Path, run: Run) -> None:
    make_photo(album / "b.jpg").replace(album / "b.png")
    Path("out").mkdir()
    Path("out/b.jpg").write_bytes(b"mine")
    assert run(*ALL).out.splitlines()[-1].startswith("2 done, 1 done before")
    assert [Path(row["input"]).name for row in rows("done")] == ["a.png", "c.png"]
    ended = run(*ALL, "--strength", "0.5")
    assert ended.out.splitlines()[-1].startswith("2 done, 1 done before")
    assert Path("out/b.jpg").read_bytes() == b"mine"


def test_a_name_that_two_results_want_is_recorded_once(album: Path, run: Run) -> None:
    make_photo(album / "b.jpg")
    shutil.copy(album / "b.jpg", album / "b.png")
    for strength in ("1", "0.5"):
        ended = run(*ALL, "--strength", strength)
        assert ended.code == 1
        assert "album/b.jpg and album/b.png would both be written to out/b.jpg" in ended.err
        assert ended.out.splitlines()[-1] == "3 done, 1 failed (listed in m.jsonl)"
    assert [Path(row["input"]).name for row in rows("failed")] == ["b.png"] * 2
    assert not any("output" in row for row in rows("failed"))


def test_a_run_that_was_stopped_goes_on(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsmear.batch.manifest import Manifest

    with monkeypatch.context() as context:

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        context.setattr(Manifest, "record", interrupt)  # right after the first was written
        assert run(*ALL).code == 130
    assert names(Path("out")) == ["a.png"]
    assert rows("done") == []
    assert run(*ALL).out.endswith("\n3 done\n")


def test_in_place_is_done_once(album: Path, run: Run) -> None:
    words = ("-r", album, "--in-place", "--manifest", "m.jsonl", "--threshold", "0")
    assert run(*words).out.endswith("3 done\n")
    before = (album / "a.png").read_bytes()
    assert run(*words).out.startswith("0 done, 3 done before")
    assert (album / "a.png").read_bytes() == before


def test_failures_are_listed_and_the_rest_is_done(album: Path, run: Run) -> None:
    (album / "aa.png").write_text("no picture")
    ended = run(*ALL, "--failures", "failed.tsv")
    assert ended.code == 1
    assert ended.out.endswith("3 done, 1 failed (listed in failed.tsv)\n")
    head, line = Path("failed.tsv").read_text().splitlines()
    assert head == "photo\tproblem"
    assert line.startswith("album/aa.png\talbum/aa.png is not a picture")
    assert "problem" in rows("failed")[0]
    make_photo(album / "aa.png")
    again = run(*ALL, "--failures", "failed.tsv")
    assert (again.code, again.out.splitlines()[-1][:21]) == (0, "1 done, 3 done before")
    assert Path("failed.tsv").read_text() == "photo\tproblem\n"


@pytest.mark.parametrize("wrong", [("--device", "cuda"), ("--mask", "no.png")])
def test_a_run_that_cannot_begin_leaves_the_table_of_failures(
    album: Path, run: Run, wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    table = "photo\tproblem\nold.png\tan old problem\n"
    Path("failed.tsv").write_text(table)
    for name in ("failed.tsv", "new.tsv"):
        assert run("-r", album, "--failures", name, *wrong).code == 2
    assert Path("failed.tsv").read_text() == table
    assert not Path("new.tsv").exists()


def test_what_failed_is_tried_again_though_an_older_result_is_there(album: Path, run: Run) -> None:
    run(*ALL)
    old = Path("out/a.png").read_bytes()
    (album / "a.png").write_text("no picture")
    assert run(*ALL, "--overwrite").code == 1
    assert Path("out/a.png").read_bytes() == old
    make_photo(album / "a.png", seed=3)
    assert run(*ALL).out.splitlines()[-1].startswith("1 done, 2 done before")
    assert Path("out/a.png").read_bytes() != old


def test_the_last_line_says_where_failures_are(album: Path, run: Run) -> None:
    (album / "aa.png").write_text("no picture")
    assert run(*ALL).out.endswith("1 failed (listed in m.jsonl)\n")


def test_one_photo_has_a_manifest_too(album: Path, run: Run) -> None:
    words = (album / "a.png", "--manifest", "m.jsonl", "--threshold", "0")
    assert run(*words).code == 0
    assert run(*words).out.startswith("0 done, 1 done before")


def test_figures_of_many_are_one_list(album: Path, run: Run) -> None:
    assert run("-r", album, "--json", "figures.json").code == 0
    text = Path("figures.json").read_text()
    figures = json.loads(text)
    assert [one["input"] for one in figures] == ["album/a.png", "album/b.png", "album/deep/c.png"]
    assert text == json.dumps(figures, indent=2) + "\n"
    assert json.loads(run("-r", album, "--json", "-").out) == []
    assert not any(".tmp" in name for name in names())


@needs_a_full_disk
@pytest.mark.parametrize("place", ["figures.json", "-"])
def test_figures_without_room_are_a_sentence(place: str, photo: Path) -> None:
    from unsmear.cli.figures import FigureList

    for step in (lambda figures: figures.add({"input": "a.png"}), FigureList.finish):
        with FigureList(place, overwrite=False) as figures:
            figures._file.close()
            figures._file = FULL.open("w", encoding="utf-8")
            with pytest.raises(OutputError, match=r"cannot be written \(No space left on device"):
                step(figures)
    assert names() == ["photo.png"]


@needs_a_full_disk
def test_so_is_a_table_of_failures(album: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsmear.cli.failures._is_table", lambda path: True)
    Path("failed.tsv").symlink_to(FULL)
    ended = run(*ALL, "--failures", "failed.tsv")
    assert ended.code == 2
    assert ended.err.startswith("unsmear: failed.tsv cannot be written (No space left on device)")
    assert len(ended.err.splitlines()) == 1


def test_the_bar_learns_how_many_there_are() -> None:
    from unsmear.cli.counting import CountingBar

    with CountingBar(iter([3, 4]), quiet=True) as bar:
        bar._progress.disable = False
        bar._count()
        (task,) = bar._progress.tasks
        assert task.total == 7


BAD = {
    "manifest is a photo": (("album/a.png", "--manifest", "album/a.png"), "--manifest"),
    "manifest in a folder of photos": (("album", "--manifest", "x.png"), "--manifest"),
    "manifest is another file": (("album", "--manifest", "notes"), "no manifest"),
    "manifest's folder": (("album", "--manifest", "nowhere/m.jsonl"), "nowhere"),
    "manifest is a folder": (("album", "--manifest", "album"), "folder"),
    "failures are another file": (("album", "--failures", "notes"), "no table"),
    "both in one": (("album", "--failures", "x", "--manifest", "x"), "cannot be both"),
    "stdin": (("-", "--manifest", "m.jsonl"), "stdin"),
    "ray in place": (("album", "--ray", "local", "--in-place"), "--ray"),
    "ray's address": (("album", "--ray", "nowhere"), "HOST:PORT"),
    "ray's device": (("album", "--ray", "local", "--device", "cuda:1"), "cuda:1"),
    "ray's cores": (("album", "--ray", "local", "--ray-cpus", "0"), "--ray-cpus"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_one_sentence(case: str, album: Path, run: Run) -> None:
    if case == "ray's address":
        pytest.importorskip("ray")
    Path("notes").write_text("mine")
    before = names()
    words, part = BAD[case]
    ended = run(*words)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert part in ended.err
    assert names() == before
    assert Path("notes").read_text() == "mine"


@pytest.mark.parametrize("greeting", [None, b"", b"HTTP/1.1 400 Bad Request\r\n"])
def test_no_cluster_at_the_address(
    greeting: bytes | None, album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("unsmear.batch.cluster.PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if greeting is None:
            server.close()
        elif greeting:
            answer = threading.Thread(target=lambda: server.accept()[0].sendall(greeting))
            answer.start()
        ended = run(album, "--ray", address)
    assert ended.code == 2
    assert ended.err.startswith(f"unsmear: No Ray cluster answers at {address}")
    assert len(ended.err.splitlines()) == 1


def test_ray_names_the_missing_extra(
    album: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "unsmear.batch.cluster", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    ended = run(album, "--ray", "local")
    assert ended.code == 2
    assert "pip install 'unsmear[ray]'" in ended.err
    assert len(ended.err.splitlines()) == 1

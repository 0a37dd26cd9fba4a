"""The manifest: what is done stays done, and nothing of a cut-off run is lost or believed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unsmear.batch.jobs import Job
from unsmear.batch.manifest import Manifest
from unsmear.batch.outcome import Ending, Trace
from unsmear.errors import OutputError

from .makers import SETTINGS, done, make_file

FILE = Path("done.jsonl")


def photo(name: str, **others: Any) -> Job:
    return Job(make_file(f"in/{name}.png", name.encode()), Path(f"out/{name}.png"), **others)


def claim(job: Job, settings: Any = SETTINGS) -> Job | None:
    with Manifest(FILE, settings) as manifest:
        return manifest.claim(job)


def record(*endings: Ending) -> None:
    with Manifest(FILE, SETTINGS) as manifest:
        for ending in endings:
            manifest.record(ending)


def rows() -> list[dict[str, Any]]:
    return [row for line in FILE.read_text().splitlines() if "input" in (row := json.loads(line))]


def test_a_run_is_remembered(tmp_path: Path) -> None:
    a, b = photo("a"), photo("b")
    record(done(a))
    assert claim(a) is None
    assert claim(b) == b
    (row,) = rows()
    assert row["input"] == str(tmp_path / "in/a.png")
    assert row["output"] == str(tmp_path / "out/a.png")
    assert row["figures"] == {"input": "in/a.png"}
    header = json.loads(FILE.read_text().splitlines()[0])
    assert header["settings"] == row["settings"] == SETTINGS.fingerprint
    assert header["version"]


def test_only_content_and_settings_count() -> None:
    a = photo("a")
    record(done(a))
    os.utime("in/a.png", (1, 1))
    assert claim(a) is None
    again = claim(a, SETTINGS._replace(wishes={"threshold": 0.4}))
    assert again is not None
    assert again.ours == {str(Path("out/a.png").resolve())}
    make_file("in/a.png", b"another photo")
    assert claim(a) == again


@pytest.mark.parametrize("missing", ["out/a.png", "maps/a.png"])
def test_what_was_removed_is_made_again(missing: str) -> None:
    a = photo("a", blur_map=Path("maps/a.png"))
    record(done(a))
    assert claim(a) is None
    Path(missing).unlink()
    assert claim(a) is not None


def test_a_blur_map_that_is_new_is_wanted() -> None:
    a = photo("a")
    record(done(a))
    wanted = replace(a, blur_map=Path("maps/a.png"))
    assert claim(wanted) is not None


def test_another_output_is_another_job() -> None:
    a = photo("a")
    record(done(a))
    elsewhere = replace(a, destination=Path("elsewhere/a.png"))
    assert claim(elsewhere) == elsewhere


def test_a_result_under_another_ending_is_found() -> None:
    a = photo("a")
    record(done(a, replace(a, destination=Path("out/a.jpg"))))
    assert claim(a) is None
    Path("out/a.jpg").unlink()
    again = claim(a)
    assert again is not None
    assert again.ours == {str(Path("out/a.jpg").resolve())}


def test_a_photo_replaced_in_place_is_done() -> None:
    source = make_file("in/a.png")
    job = Job(source, source, suffix_is_ours=False)
    record(done(job))
    assert source.read_bytes() == b"result of a photo"
    assert claim(job) is None
    make_file(source, b"a new photo")
    assert claim(job) is not None


def test_failures_are_tried_again_and_replace_only_what_is_theirs() -> None:
    a, b = photo("a"), photo("b")
    record(Ending(a, a, problem="It broke."), Ending(b, b, problem="Disk full.", has_begun=True))
    assert claim(a) == a
    assert claim(b) == replace(b, ours=frozenset({str(Path("out/b.png").resolve())}))
    assert [row["problem"] for row in rows()] == ["It broke.", "Disk full."]


def test_a_result_that_was_written_but_not_noted_is_ours() -> None:
    a = photo("a")
    with Manifest(FILE, SETTINGS) as manifest:
        manifest.begin(a, a)
    again = claim(a)
    assert again is not None
    assert again.ours == {str(Path("out/a.png").resolve())}


def test_the_last_line_of_a_photo_counts() -> None:
    a = photo("a")
    record(Ending(a, a, problem="It broke."), done(a))
    assert claim(a) is None
    record(Ending(a, a, problem="It broke."))
    assert claim(a) is not None


def test_what_was_done_before_leaves_no_line() -> None:
    a = photo("a")
    found = Ending(a, replace(a, destination=Path("out/a.jpg")), trace=Trace(0, 0, ""))
    record(Ending(), Ending(problem="album holds no pictures."), Ending(a, a), found)
    assert rows() == []


@pytest.mark.parametrize("kept", [0, 1, 20, 400])
def test_a_cut_off_line_is_taken_away(kept: int) -> None:
    a, b, c = photo("a"), photo("b"), photo("c")
    record(done(a), done(b))
    whole = FILE.read_bytes()
    start = whole.rindex(b'{"input"')
    FILE.write_bytes(whole[: min(start + kept, len(whole) - 1)])
    record(done(c))
    assert [Path(row["input"]).stem for row in rows()] == ["a", "c"]
    assert [claim(job) is None for job in (a, b, c)] == [True, False, True]


def test_a_cut_off_first_line_is_a_new_beginning() -> None:
    FILE.write_bytes(b'{"manif')
    record(done(photo("a")))
    assert len(rows()) == 1


@pytest.mark.parametrize(
    "content", [b"mine", b'{"a": 1}\n', b"\x89PNG\r\n\x1a\n", b'{"manifest": 2}']
)
def test_another_file_is_left_alone(content: bytes) -> None:
    FILE.write_bytes(content)
    with pytest.raises(OutputError, match="no manifest of unsmear"):
        Manifest(FILE, SETTINGS)
    assert FILE.read_bytes() == content


def test_a_damaged_line_is_named() -> None:
    record(done(photo("a")))
    before = FILE.read_bytes().splitlines(keepends=True)
    FILE.write_bytes(before[0] + b"\0\0\n" + before[1])
    with pytest.raises(OutputError, match="Line 2"):
        Manifest(FILE, SETTINGS)


def test_one_run_at_a_time() -> None:
    pytest.importorskip("fcntl")
    with (
        Manifest(FILE, SETTINGS),
        pytest.raises(OutputError, match="in use by another run"),
    ):
        Manifest(FILE, SETTINGS)


def test_names_that_are_no_text() -> None:
    job = Job(make_file(os.fsdecode(b"in/\xff.png")), Path("out/x.png"))
    record(done(job))
    assert claim(job) is None


def test_another_folder_is_no_other_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    a = photo("a")
    record(done(a))
    monkeypatch.chdir("in")
    with Manifest(Path("..") / FILE, SETTINGS) as manifest:
        assert manifest.claim(Job(Path("a.png"), Path("../out/a.png"))) is None


def test_each_row_is_on_the_disk_before_the_next_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(FILE.read_bytes().count(b"\n")))
    with Manifest(FILE, SETTINGS) as manifest:
        manifest.begin(photo("a"), photo("a"))
        manifest.record(done(photo("a")))
        manifest.record(Ending(photo("b"), photo("b"), problem="It broke."))
    assert synced == [1, 3, 4]


def test_a_photo_takes_16_bytes_however_many_lines_it_has() -> None:
    a = photo("a")
    for _ in range(3):
        with Manifest(FILE, SETTINGS) as manifest:
            manifest.begin(a, a)
            manifest.record(done(a))
    with Manifest(FILE, SETTINGS) as manifest:
        index = manifest._index
        assert index._keys.nbytes + index._offsets.nbytes == 16
        assert manifest.claim(a) is None


def test_many_photos_are_told_apart() -> None:
    jobs = [photo(f"{number:03}") for number in range(60)]
    trace = Trace(0, 0, "")
    with Manifest(FILE, SETTINGS) as manifest:
        for job in jobs[::2]:
            manifest.record(replace(done(job), trace=trace))
            manifest.record(done(job))
    with Manifest(FILE, SETTINGS) as manifest:
        assert [manifest.claim(job) is None for job in jobs] == [True, False] * 30

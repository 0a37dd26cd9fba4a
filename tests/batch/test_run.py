"""Runs: each photo ends once and in order, and few are under way however many there are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from unsmear.batch.fingerprint import hash_file
from unsmear.batch.jobs import Job, Places
from unsmear.batch.manifest import Manifest
from unsmear.batch.outcome import Ending, Outcome, Tally
from unsmear.batch.run import Run, Step, pending
from unsmear.batch.worker import Worker
from unsmear.errors import InputError

from .makers import SETTINGS, done, make_file, make_photo


class Copier:
    """A worker that copies photos, and trips over bad ones."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def read(self, job: Job) -> tuple[Job, Any]:
        assert job.source is not None
        data = job.source.read_bytes()
        if data == b"bad":
            raise InputError(f"{job.name} is bad.")
        if data == b"odd":
            warnings.warn(f"{job.name} is odd", stacklevel=2)
        return job, SimpleNamespace(original_bytes=data, size=(1, 1))

    def abreast(self, pixels: int) -> int:
        return 1

    def deblur(self, job: Job, picture: Any, progress: Any, abreast: int) -> Any:
        if picture.original_bytes == b"soft":
            warnings.warn("the network is not sure", stacklevel=2)
        progress(1.0)
        return picture.original_bytes

    def write(self, job: Job, result: bytes) -> Outcome:
        assert job.destination is not None
        make_file(job.destination, result)
        return Outcome(job.name, True, {})


@pytest.fixture
def worker() -> Worker:
    return cast("Worker", Copier(Places()))


def job(name: str, content: bytes = b"a photo") -> Job:
    return Job(make_file(f"in/{name}.png", content), Path(f"out/{name}.png"))


def test_every_photo_ends_once_and_in_order(worker: Worker) -> None:
    steps = [job("a"), job("b", b"bad"), Ending(problem="nothing"), job("c"), Ending()]
    endings: list[Ending] = []
    Run(worker, endings.append).do(steps)
    states = [ending.problem or (ending.outcome and ending.outcome.line) for ending in endings]
    assert states == ["in/a.png", "in/b.png is bad.", "nothing", "in/c.png", None]
    tally = Tally()
    for ending in endings:
        tally.add(ending)
    assert (tally.done, tally.before, tally.failed, tally.code) == (2, 1, 2, 1)


def test_warnings_go_to_the_photo_that_they_are_about(worker: Worker) -> None:
    endings: list[Ending] = []
    Run(worker, endings.append).do([job("a", b"soft"), job("b", b"odd"), job("c")])
    assert [ending.warnings for ending in endings] == [
        ("warning: in/a.png: the network is not sure",),
        ("warning: in/b.png is odd",),
        (),
    ]


def test_jobs_are_taken_as_they_are_needed(worker: Worker) -> None:
    taken: list[int] = []
    most = 0

    def many() -> Iterator[Step]:
        for number in range(200):
            taken.append(number)
            yield job(f"{number:03}")

    told = 0

    def tell(ending: Ending) -> None:
        nonlocal told, most
        most = max(most, len(taken) - told)
        told += 1

    Run(worker, tell).do(many())
    assert told == 200
    assert most <= 6


def test_a_result_is_begun_before_it_is_there_and_traced_after(worker: Worker) -> None:
    a, seen = job("a"), []
    assert a.destination is not None
    there = a.destination
    endings: list[Ending] = []
    Run(worker, endings.append, begin=lambda *jobs: seen.append((jobs, there.exists()))).do([a])
    assert seen == [((a, a), False)]
    assert endings[0].has_begun
    result = hash_file(there)
    assert endings[0].trace == done(a).trace._replace(output_content=result)  # pyright: ignore


def test_what_is_there_and_not_ours_is_neither_begun_nor_written(worker: Worker) -> None:
    a, seen = job("a"), []
    make_file("out/a.png", b"mine")
    endings: list[Ending] = []
    Run(worker, endings.append, begin=lambda *jobs: seen.append(jobs)).do([a])
    assert seen == []
    assert endings == [Ending()]
    assert Path("out/a.png").read_bytes() == b"mine"
    Run(worker, endings.append).do([a.owning()])
    assert Path("out/a.png").read_bytes() == b"a photo"


def test_a_result_that_another_run_makes_meanwhile_is_done_before(worker: Worker) -> None:
    deblur = worker.deblur

    def be_second(given: Job, *others: Any) -> Any:
        make_file("out/a.png", b"the other's")
        return deblur(given, *others)

    cast("Any", worker).deblur = be_second
    endings: list[Ending] = []
    Run(worker, endings.append).do([job("a")])
    assert endings == [Ending()]
    assert Path("out/a.png").read_bytes() == b"the other's"


def test_a_result_that_is_taken_away_at_once_was_made(worker: Worker) -> None:
    write = worker.write

    def write_and_lose(given: Job, result: Any) -> Outcome:
        outcome = write(given, result)
        for path in given.written:
            path.unlink()
        return outcome

    cast("Any", worker).write = write_and_lose
    endings: list[Ending] = []
    Run(worker, endings.append).do([job("a"), job("b")])
    assert [ending.problem for ending in endings] == [None, None]
    assert [ending.trace and ending.trace.output_content for ending in endings] == [None, None]


def test_without_a_manifest_done_is_what_has_a_result() -> None:
    a, b = job("a"), job("b")
    done(a)
    assert list(pending([a, b], Places(), None)) == [Ending(), b]
    assert list(pending([a, b], Places(overwrite=True), None)) == [a, b]


def test_done_is_also_what_has_a_result_under_the_ending_of_its_content() -> None:
    a = Job(make_photo("a.jpg").rename("a.png"), Path("out/a.png"))
    assert list(pending([a], Places(), None)) == [a]
    make_file("out/a.jpg")
    assert list(pending([a], Places(), None)) == [Ending()]
    assert list(pending([a], Places(overwrite=True), None)) == [a]
    assert a.owning().ours == {str(Path("out", name).resolve()) for name in ("a.png", "a.jpg")}


def test_a_manifest_knows_better_and_leaves_alone_what_it_does_not_know() -> None:
    a, b, c, d = (job(name) for name in "abcd")
    with Manifest(Path("m.jsonl"), SETTINGS) as manifest:
        manifest.record(done(a))
        manifest.record(done(b))
        done(c)
    make_file("in/b.png", b"a new photo")
    with Manifest(Path("m.jsonl"), SETTINGS) as manifest:
        claimed = list(pending([a, b, c, d], Places(), manifest))
        assert claimed == [Ending(), b.owning(), Ending(), d]
        assert list(pending([a, c], Places(overwrite=True), manifest)) == [a.owning(), c]

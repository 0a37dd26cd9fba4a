"""Who waits, who goes next, and who is told to come again."""

from __future__ import annotations

import numpy as np
import pytest

from unsmear.web.line import LARGEST_BATCH, LONGEST_RETRY, Job, Line
from unsmear.web.messages import Task, Wish
from unsmear.web.problems import QueueFullError, WorkerDiedError

STEPS = {"m": 64}


def job(size: tuple[int, int] | None = (60, 50), **wish: object) -> Job:
    return Job(Task(b"", Wish(**{"model": "m", **wish})), size, lambda share: None)


def line_of(*jobs: Job, limit: int = 99) -> Line:
    line = Line(limit)
    for each in jobs:
        line.put(each)
    return line


def test_jobs_are_taken_in_order():
    large = [job((9000, 1)), job((9000, 2))]
    line = line_of(*large)
    assert [line.take(STEPS), line.take(STEPS), line.take(STEPS)] == [[large[0]], [large[1]], []]


def test_small_pictures_of_one_padded_size_go_together():
    first, other, second, third = job((60, 50)), job((65, 50)), job((64, 1)), job(strength=0.2)
    line = line_of(first, other, second, third)
    assert line.take(STEPS) == [first, second, third]
    assert line.take(STEPS) == [other]


@pytest.mark.parametrize("wish", [{"threshold": 0.4}, {"dense": True}, {"model": "n"}], ids=str)
def test_only_what_the_network_does_alike_goes_together(wish):
    steps = {**STEPS, "n": 64}
    assert len(line_of(job(), job(**wish)).take(steps)) == 1
    assert len(line_of(job(**wish), job(**wish)).take(steps)) == 2


@pytest.mark.parametrize(
    "wish",
    [
        {"boxes": ((0, 0, 1, 1),)},
        {"mask": np.ones((50, 60), bool)},
        {"model": "one that takes no batch"},
        {"size": None},
        {"size": (257, 200)},
        {"size": (9000, 1)},  # its padding is as large as a large picture
    ],
    ids=str,
)
def test_what_cannot_share_a_batch_goes_alone(wish):
    assert len(line_of(job(**wish), job(**wish)).take(STEPS)) == 1


def test_a_batch_has_its_limit():
    line = line_of(*(job() for _ in range(LARGEST_BATCH + 3)))
    assert [len(line.take(STEPS)), len(line.take(STEPS))] == [LARGEST_BATCH, 3]


def test_a_full_line_says_when_to_come_again():
    # The first is as good as taken; two more may wait.
    line = line_of(*(job((9000, 1)) for _ in range(3)), limit=2)
    with pytest.raises(QueueFullError) as caught:
        line.put(job())
    assert 1 <= caught.value.retry_after <= LONGEST_RETRY
    line.take(STEPS)
    with pytest.raises(QueueFullError):  # now it is under way, and two wait
        line.put(job())
    line.take(STEPS)
    line.put(job())


def test_the_advice_grows_with_what_jobs_take():
    line = line_of(job(), limit=0)
    line.learn(20.0)
    with pytest.raises(QueueFullError) as caught:
        line.put(job())
    slow = caught.value.retry_after
    for _ in range(20):
        line.learn(0.01)
    with pytest.raises(QueueFullError) as caught:
        line.put(job())
    assert caught.value.retry_after < slow


def test_who_left_takes_no_room_and_no_turn():
    gone, waiting = job((9000, 1)), job((9000, 2))
    line = line_of(gone, limit=0)
    gone.answer.cancel()
    line.put(waiting)
    assert len(line) == 1
    assert line.take(STEPS) == [waiting]


def test_who_leaves_rings_the_bell():
    waiting = job()
    line = line_of(waiting)
    line.hush()
    assert not line.bell.poll()
    waiting.answer.cancel()
    assert line.bell.poll()
    line.hush()
    line.hush()
    assert not line.bell.poll()


def test_suspects_come_first_and_alone():
    jobs = [job(), job()]
    line = line_of(*jobs)
    assert line.take(STEPS) == jobs
    line.put(job())
    for each in jobs:
        each.is_suspect = True
    line.put_back(jobs)
    assert [line.take(STEPS), line.take(STEPS)] == [[jobs[0]], [jobs[1]]]


def test_a_closed_line_ends_who_waits_and_takes_nobody():
    waiting = job()
    line = line_of(waiting)
    line.close()
    assert isinstance(waiting.answer.exception(), WorkerDiedError)
    with pytest.raises(WorkerDiedError):
        line.put(job())

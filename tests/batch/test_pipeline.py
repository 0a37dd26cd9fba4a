"""Stages that overlap: in order, bounded, and ended by what any of them raises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest

from unsmear.batch.pipeline import overlap

PATIENCE = 20  # s; waited in full only by a test that fails


def passing(trace: list[tuple[str, int]], name: str) -> Callable[[int], int]:
    def stage(item: int) -> int:
        trace.append((name, item))
        return item

    return stage


def run(trace: list[tuple[str, int]], items: Iterable[int], ahead: int) -> None:
    overlap(items, *(passing(trace, name) for name in ("prepare", "work", "finish")), ahead=ahead)


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_every_stage_sees_every_item_in_order(ahead: int, count: int) -> None:
    trace: list[tuple[str, int]] = []
    run(trace, range(count), ahead)
    for name in ("prepare", "work", "finish"):
        assert [item for stage, item in trace if stage == name] == list(range(count))


def test_nothing_ahead_is_one_after_the_other() -> None:
    trace: list[tuple[str, int]] = []
    run(trace, range(3), ahead=0)
    assert trace == [(name, item) for item in range(3) for name in ("prepare", "work", "finish")]


def test_the_neighbours_of_an_item_are_under_way_while_it_is_worked_on() -> None:
    meet = threading.Barrier(3, timeout=PATIENCE)

    def meeting(own: int) -> Callable[[int], int]:
        def stage(item: int) -> int:
            if item == own:
                meet.wait()
            return item

        return stage

    overlap(range(3), prepare=meeting(2), work=meeting(1), finish=meeting(0))


def test_work_stays_in_the_callers_thread() -> None:
    seen = {}

    def note(name: str) -> Callable[[int], int]:
        return lambda item: seen.update({name: threading.get_ident()}) or item

    overlap([1], note("prepare"), note("work"), note("finish"))
    assert seen["work"] == threading.get_ident()
    assert len(set(seen.values())) == 3


@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("slow", ["prepare", "work", "finish"])
def test_few_items_are_under_way_at_once(ahead: int, slow: str) -> None:
    lock, under_way, most = threading.Lock(), 0, 0
    pause = threading.Event()

    def stage(name: str, step: int) -> Callable[[int], int]:
        def do(item: int) -> int:
            nonlocal under_way, most
            with lock:
                under_way += max(step, 0)
                most = max(most, under_way)
            if name == slow:
                pause.wait(0.01)
            with lock:
                under_way += min(step, 0)
            return item

        return do

    overlap(range(12), stage("prepare", 1), stage("work", 0), stage("finish", -1), ahead=ahead)
    assert under_way == 0
    assert 2 <= most <= 2 * ahead + 1


@pytest.mark.parametrize("size", [2, 3])
def test_small_items_are_worked_on_side_by_side_and_finished_in_order(size: int) -> None:
    lock, busy, most, finished = threading.Lock(), 0, 0, []
    meet = threading.Barrier(size, timeout=PATIENCE)

    def work(item: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        if item < size:
            meet.wait()  # all of these are under way, or none goes on
        with lock:
            busy -= 1
        return item

    overlap(range(11), int, work, finished.append, abreast=lambda _: size)
    assert finished == list(range(11))
    assert most == size


def test_a_large_item_among_small_ones_has_none_beside_it() -> None:
    lock, busy, seen = threading.Lock(), 0, {}

    def work(item: int) -> int:
        nonlocal busy
        with lock:
            busy += 1
            seen[item] = (busy, threading.get_ident())
        threading.Event().wait(0.01)
        with lock:
            busy -= 1
        return item

    overlap(range(9), int, work, int, abreast=lambda item: 1 if item % 4 == 2 else 2)
    assert [seen[item] for item in (2, 6)] == [(1, threading.get_ident())] * 2


@pytest.mark.parametrize("where", ["prepare", "work", "finish"])
def test_what_is_raised_beside_others_ends_the_run(where: str) -> None:
    finished: list[int] = []

    def failing(name: str) -> Callable[[int], int]:
        def stage(item: int) -> int:
            if name == where and item == 4:
                raise ValueError("item 4")
            return item

        return stage

    def finish(item: int) -> None:
        finished.append(failing("finish")(item))

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="item 4"):
        overlap(range(99), failing("prepare"), failing("work"), finish, abreast=lambda _: 2)
    assert finished == list(range(len(finished)))
    assert len(finished) <= 4
    assert set(threading.enumerate()) <= before


def test_some_items_wait_until_all_before_them_are_finished() -> None:
    trace: list[tuple[str, int]] = []
    pause = threading.Event()

    def finish(item: int) -> None:
        pause.wait(0.05)
        trace.append(("finish", item))

    work = passing(trace, "work")
    overlap(range(4), int, work, finish, ahead=2, alone=lambda item: item == 2)
    assert set(trace[: trace.index(("work", 2))]) >= {("finish", 0), ("finish", 1)}


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["prepare", "work", "finish"])
def test_what_a_stage_raises_ends_the_run(
    where: str, kind: type[BaseException], ahead: int
) -> None:
    trace: list[tuple[str, int]] = []

    def failing(name: str) -> Callable[[int], int]:
        going_on = passing(trace, name)

        def stage(item: int) -> int:
            if name == where and item == 4:
                raise kind("item 4")
            return going_on(item)

        return stage

    before = set(threading.enumerate())
    with pytest.raises(kind, match="item 4"):
        overlap(range(99), *(failing(name) for name in ("prepare", "work", "finish")), ahead=ahead)
    seen = {name: [item for stage, item in trace if stage == name] for name in dict(trace)}
    expected = [item for item in seen["work"] if (where, item) != ("finish", 4)]
    if where == "finish":  # what waited to be finished may be given up
        expected = expected[: max(4, len(seen["finish"]))]
    assert seen["finish"] == expected
    assert seen["work"][:4] == [0, 1, 2, 3]
    assert len(seen["prepare"]) <= 5 + 2 * ahead
    assert set(threading.enumerate()) <= before

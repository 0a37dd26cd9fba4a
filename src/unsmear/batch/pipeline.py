"""Three stages that overlap: the next item is prepared and the last one finished meanwhile.

Small items may also be worked on side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Made = TypeVar("Made")


def overlap(
    items: Iterable[Item],
    prepare: Callable[[Item], Ready],
    work: Callable[[Ready], Made],
    finish: Callable[[Made], object],
    *,
    ahead: int = 1,
    alone: Callable[[Ready], bool] = lambda _: False,
    abreast: Callable[[Ready], int] = lambda _: 1,
) -> None:
    """Take each item through three stages, every stage in the order of the items.

    ``work`` runs in the caller's thread, where Ctrl-C reaches it, unless several items are worked
    on side by side; ``prepare`` and ``finish`` each run in a thread of their own. What any of them
    raises ends the run: what is being worked on side by side is given up, what is being finished is
    finished, nothing else is begun, and then it is raised here.

    Args:
        items: what to work on.
        prepare: first stage.
        work: second stage, the one that the others are to keep busy.
        finish: last stage.
        ahead: while one item is worked on, so many at most are prepared, and so many finished.
            With 0 the caller's thread does one thing after the other.
        alone: whether a prepared item is worked on only when all before it are finished.
        abreast: how many of a prepared item and those beside it may be worked on at a time; the
            same number for all items but those that it is 1 for, which have no others beside them.
    """
    if not ahead:
        for item in items:
            finish(work(prepare(item)))
        return
    working: deque[Future[Made]] = deque()
    finishing: deque[Future[object]] = deque()
    crew: ThreadPoolExecutor | None = None
    with ExitStack() as pools:
        first, last = (pools.enter_context(ThreadPoolExecutor(1)) for _ in range(2))

        def leave(made: Made) -> None:
            if len(finishing) == ahead:
                finishing.popleft().result()
            finishing.append(last.submit(finish, made))

        try:
            for ready in _prepared(first, items, prepare, ahead):
                size = abreast(ready)
                # One more than are worked on, so that no thread waits for the caller.
                while len(working) > (size if size > 1 else 0):
                    leave(working.popleft().result())
                while finishing and alone(ready):
                    finishing.popleft().result()
                if size > 1:
                    crew = crew or pools.enter_context(ThreadPoolExecutor(size))
                    working.append(crew.submit(work, ready))
                else:
                    leave(work(ready))
            for each in working:
                leave(each.result())
            for each in finishing:
                each.result()
        finally:
            for pool in (first, crew):
                if pool is not None:
                    pool.shutdown(wait=False, cancel_futures=True)


def _prepared(
    pool: ThreadPoolExecutor,
    items: Iterable[Item],
    prepare: Callable[[Item], Ready],
    ahead: int,
) -> Iterator[Ready]:
    """What becomes of each item, so many others being prepared while one is used."""
    waiting: deque[Future[Ready]] = deque()
    for item in items:
        waiting.append(pool.submit(prepare, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()

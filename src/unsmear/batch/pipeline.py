"""Three stages that overlap: the next item is prepared and the last one finished meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
) -> None:
    """Take each item through three stages, every stage in the order of the items.

    ``work`` runs in the caller's thread, where Ctrl-C reaches it, ``prepare`` and ``finish`` each
    in one of their own. What any of them raises ends the run: what is being finished is finished,
    nothing else is begun, and then it is raised here.

    Args:
        items: what to work on.
        prepare: first stage.
        work: second stage, the one that the others are to keep busy.
        finish: last stage.
        ahead: while one item is worked on, so many at most are prepared, and so many finished.
            With 0 the caller's thread does one thing after the other.
        alone: whether a prepared item is worked on only when all before it are finished.
    """
    if not ahead:
        for item in items:
            finish(work(prepare(item)))
        return
    finishing: deque[Future[object]] = deque()
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as last:
        try:
            for ready in _prepared(first, items, prepare, ahead):
                while finishing and alone(ready):
                    finishing.popleft().result()
                made = work(ready)
                if len(finishing) == ahead:
                    finishing.popleft().result()
                finishing.append(last.submit(finish, made))
            for each in finishing:
                each.result()
        finally:
            first.shutdown(wait=False, cancel_futures=True)


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

"""The process that decodes, computes and encodes: what it meets with stays its own trouble."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeVar

import numpy as np

from unsmear.errors import UnsmearError
from unsmear.images import Picture, encode_picture, read_picture
from unsmear.inference import Deblurred, Steering
from unsmear.runtime import tune_process
from unsmear.web.messages import GIVE_UP, Answer, Done, Engines, Ready, Task, Unfit
from unsmear.web.together import BatchDeblurrer

_T = TypeVar("_T")


class _GivenUp(Exception):  # noqa: N818 - it is no error and never leaves this file
    """Nobody waits any more."""


def main(connection: Connection, engines: Engines) -> None:
    """Load the models, then answer tasks until the other end is closed.

    An error that is none of ours ends the process: memory may have run out anywhere, and a new
    process is in a known state.
    """
    tune_process()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _work(connection, engines)


def _work(connection: Connection, engines: Engines) -> None:
    try:
        loaded = {
            name: BatchDeblurrer(source, device=engines.device, dtype=engines.dtype)
            for name, source in engines.sources.items()
        }
    except UnsmearError as error:
        connection.send(Unfit(str(error)))
        return
    steps = {name: engine.step for name, engine in loaded.items() if engine.step is not None}
    connection.send(Ready(steps))
    while True:
        tasks = connection.recv()
        if tasks == GIVE_UP:  # it crossed the answers on the way
            continue
        engine = loaded[tasks[0].wish.model]
        try:
            answers = answer(engine, tasks, engines.max_pixels, partial(_tell, connection))
        except _GivenUp:
            answers = []
        connection.send(Done(answers))


def _tell(connection: Connection, share: float) -> None:
    if connection.poll():  # nothing else comes while tasks are under way
        connection.recv()
        raise _GivenUp
    connection.send(share)


@dataclass(frozen=True)
class _Opened:
    """A task on its way.

    Attributes:
        task: as it came.
        picture: its decoded data.
        steering: its wish.
        notes: what there was to remark about the file.
    """

    task: Task
    picture: Picture
    steering: Steering
    notes: tuple[str, ...]


def answer(
    engine: BatchDeblurrer,
    tasks: list[Task],
    max_pixels: int,
    progress: Callable[[float], None],
) -> list[Answer | str]:
    """Answer tasks, those together whose padded sizes agree.

    Args:
        engine: of the model that all wishes name.
        tasks: if several, then small pictures without regions, thresholds and dense alike.
        max_pixels: larger pictures are refused.
        progress: told the share that is done of a picture that goes alone.

    Returns:
        Of every task, in order, its answer or why there is none.
    """
    answers: dict[int, Answer | str] = {}
    groups: dict[tuple[int, ...], dict[int, _Opened]] = {}
    for index, task in enumerate(tasks):
        opened = _or_reason(partial(_open, task, max_pixels))
        if isinstance(opened, str):
            answers[index] = opened
            continue
        padded = (-(-side // (engine.step or 1)) for side in opened.picture.size)
        groups.setdefault(tuple(padded), {})[index] = opened
    for group in groups.values():
        results = _or_reason(partial(_deblur, engine, list(group.values()), progress))
        for number, (index, opened) in enumerate(group.items()):
            answers[index] = (
                results
                if isinstance(results, str)
                else _or_reason(partial(_close, opened, results[number]))
            )
    return [answers[index] for index in range(len(tasks))]


def _or_reason(step: Callable[[], _T]) -> _T | str:
    """What a step gives, or why it cannot."""
    try:
        return step()
    except UnsmearError as error:
        reason = str(error)
        return reason[:1].upper() + reason[1:]


def _open(task: Task, max_pixels: int) -> _Opened:
    wish, mask = task.wish, task.wish.mask
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        picture = read_picture(task.data, max_pixels=max_pixels)
        if isinstance(mask, bytes):
            drawn = read_picture(mask, max_pixels=max_pixels)
            mask = drawn.rgb.mean(axis=2) > drawn.max_value / 2
    steering = Steering(
        mask=mask,
        boxes=wish.boxes,
        threshold=wish.threshold,
        strength=wish.strength,
        dense=wish.dense,
    )
    return _Opened(task, picture, steering, tuple(str(each.message) for each in caught))


def _deblur(
    engine: BatchDeblurrer, group: list[_Opened], progress: Callable[[float], None]
) -> list[Deblurred]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reports have them
        if len(group) == 1:
            return [engine.deblur(group[0].picture, group[0].steering, progress)]
        return engine.deblur_together(
            [each.picture for each in group], [each.steering for each in group]
        )


def _close(opened: _Opened, result: Deblurred) -> Answer:
    wish = opened.task.wish
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        format = wish.format or result.picture.format or "PNG"
        data = encode_picture(result.picture, format)
    notes = (*opened.notes, *result.report.warnings, *(str(each.message) for each in caught))
    return Answer(
        data=data,
        media_type=f"image/{format.lower()}",
        blur_map=np.rint(result.blur_map * 255).astype(np.uint8),
        report={**result.report.as_dict(), "model": wish.model, "warnings": list(notes)},
        changed=result.picture.is_changed,
    )

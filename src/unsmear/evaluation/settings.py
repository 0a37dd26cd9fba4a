"""How a network is run, and the settings that an ablation goes through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from unsmear.errors import InputError

MOST_VALUES = 100


@dataclass(frozen=True)
class Setting:
    """How a network is run.

    Attributes:
        threshold: a window is kept when its blur confidence is above this; in [0, 1].
        pruned_stages: stages (1 to 9) that prune; None takes those of the checkpoint.
        dense: compute every window, whatever the predictors say.
        budget: of networks that sample pixels: how many more to work on than planned, from -0.5
            (half) to 1 (twice); None, which is as planned, for those that sample none.
        composite: put kept windows into the input as for a user, instead of the network's raw
            output.

    Raises:
        InputError: a threshold or a budget outside its range.
    """

    threshold: float = 0.5
    pruned_stages: tuple[int, ...] | None = None
    dense: bool = False
    budget: float | None = None
    composite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"The threshold lies in [0, 1], got {self.threshold}.")
        if self.budget is not None and not -0.5 <= self.budget <= 1:
            raise InputError(f"The budget lies in [-0.5, 1], got {self.budget}.")


class Sweep(NamedTuple):
    """Values of one field of :class:`Setting` to go through.

    Attributes:
        field: "threshold", "budget" or "pruned_stages".
        values: in the order given.
    """

    field: str
    values: tuple[float, ...] | tuple[tuple[int, ...], ...]


def parse_sweep(text: str) -> Sweep:
    """Read "threshold=0.2:0.7:0.1", "budget=-0.1,0,0.1" or "pruned-stages=1-9,4-6,none".

    Raises:
        InputError: It is no such thing.
    """
    name, _, values = text.partition("=")
    try:
        if name in ("threshold", "budget"):
            return Sweep(name, tuple(_numbers(values)))
        if name == "pruned-stages":
            return Sweep("pruned_stages", tuple(map(_stages, values.split(","))))
    except (InvalidOperation, ValueError):
        pass
    raise InputError(
        "--sweep wants threshold=FIRST:LAST:STEP, threshold=A,B,..., budget=A,B,... or "
        f"pruned-stages=1-9,4-6,none; got {text!r}."
    )


def swept(base: Setting, sweeps: Iterable[Sweep]) -> list[Setting]:
    """The settings of all sweeps, each changing one field of ``base``; ``base`` without any.

    Raises:
        InputError: thresholds for a network that computes every window anyway.
    """
    settings = []
    for field, values in sweeps:
        if base.dense:
            raise InputError("--dense computes every window, so that a sweep changes nothing.")
        settings += [replace(base, **{field: value}) for value in values]
    return list(dict.fromkeys(settings)) or [base]


def stages_in_words(stages: Sequence[int]) -> str:
    """Stages as tables name them: "1-9", "4", "1,3", "none"."""
    if not stages:
        return "none"
    first, last = min(stages), max(stages)
    if first == last:
        return str(first)
    if last - first + 1 == len(stages):
        return f"{first}-{last}"
    return ",".join(map(str, stages))


def _numbers(text: str) -> list[float]:
    """Decimals, so that 0.2:0.7:0.1 ends at 0.7 and not beside it."""
    if ":" not in text:
        return [float(Decimal(each)) for each in text.split(",")]
    first, last, step = map(Decimal, text.split(":"))
    steps = (last - first) / step if step else Decimal(-1)
    if not 0 <= steps < MOST_VALUES:
        raise ValueError(text)
    return [float(first + number * step) for number in range(int(steps) + 1)]


def _stages(text: str) -> tuple[int, ...]:
    if text == "none":
        return ()
    match = re.fullmatch(r"([1-9])(?:-([1-9]))?", text)
    if match is None:
        raise ValueError(text)
    stages = tuple(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not stages:
        raise ValueError(text)
    return stages

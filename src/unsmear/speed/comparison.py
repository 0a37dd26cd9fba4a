"""Paths timed in turns, and what follows from their medians."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from unsmear.errors import InputError
from unsmear.models import LMDViT
from unsmear.models.cost import network_cost
from unsmear.runtime import available_memory, resolve_device, resolve_dtype
from unsmear.speed.paths import (
    PLAIN_FEATURES,
    keep_at_random,
    make_network,
    make_picture,
    shares_kept,
)
from unsmear.speed.worker import Task, Worker

SHARES = (1.0, 0.5, 0.25, 0.1, 0.0)


class Line(NamedTuple):
    """Least squares of seconds over the share of windows kept.

    Attributes:
        slope: seconds from nothing kept to everything kept.
        intercept: seconds with nothing kept.
        r2: coefficient of determination.
    """

    slope: float
    intercept: float
    r2: float


@dataclass(frozen=True)
class Row:
    """One share of kept windows.

    Attributes:
        share: of the windows kept.
        seconds: median of each path.
        multiply_adds: of the network, counted as the paper does.
        difference: largest between the fast path's values and the plain path's in float32.
        psnr: of the fast path's picture against that, in dB; infinite where they are equal.
    """

    share: float
    seconds: dict[str, float]
    multiply_adds: int
    difference: float
    psnr: float

    def faster(self, than: str) -> float:
        """How many times as fast as another path the fast one is."""
        return self.seconds[than] / self.seconds["fast"]


@dataclass(frozen=True)
class Comparison:
    """All that was measured for one network, size and number type.

    Attributes:
        task: model, size, device, number type.
        threads: of torch on the CPU.
        peak: operations a second of large matrix products, in the same run.
        rows: by share, dense first.
        line: through the fast path's times.
    """

    task: Task
    threads: int
    peak: float
    rows: tuple[Row, ...]
    line: Line

    @property
    def of_peak(self) -> float:
        """Share of the peak that the dense fast path reaches."""
        dense = self.rows[0]
        return 2 * dense.multiply_adds / dense.seconds["fast"] / self.peak

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values; what is infinite is None."""
        rows = [
            {**asdict(row), "psnr": row.psnr if math.isfinite(row.psnr) else None}
            for row in self.rows
        ]
        return {
            **self.task._asdict(),
            "threads": self.threads,
            "peak": self.peak,
            "of_peak": self.of_peak,
            "rows": rows,
            "line": self.line._asdict(),
        }


def compare(
    task: Task,
    paths: Sequence[str],
    repeats: int = 5,
    shares: Sequence[float] = SHARES,
    progress: Callable[[float], None] = lambda done: None,
) -> Comparison:
    """Time paths in turns: pictures alternate between processes, medians are compared.

    Args:
        task: what is timed; its own path is not looked at.
        paths: "fast" and others of ``unsmear.speed.paths.PATHS``.
        repeats: pictures for each path and share, after one that warms up.
        shares: of the windows kept, the largest first.
        progress: told the share that is done.

    Raises:
        InputError: a picture that does not fit into memory.
    """
    device = resolve_device(task.device)
    dtype = resolve_dtype(task.dtype, device)
    network = make_network(task.model)
    _check_memory(network, task, device)
    picture = make_picture(task.width, task.height)
    cost = network_cost(network, task.height, task.width)
    rows = []
    with ExitStack() as stack:
        workers = {p: stack.enter_context(Worker(task._replace(path=p))) for p in paths}
        wide = workers["plain"] if dtype == torch.float32 and "plain" in workers else None
        if wide is None:
            wide = stack.enter_context(Worker(task._replace(path="plain", dtype="float32")))
        peak = workers["fast"].ask({"peak": True})["flops"]
        for number, share in enumerate(shares):
            exact = torch.tensor(wide.ask({"share": share})["sample"])
            taken: dict[str, list[float]] = {path: [] for path in paths}
            fast = exact
            for turn in range(repeats + 1):
                for path, worker in workers.items():
                    answer = worker.ask({"share": share})
                    if path == "fast":
                        fast = torch.tensor(answer["sample"])
                    if turn:  # the first warms up
                        taken[path].append(answer["seconds"])
                progress((number + (turn + 1) / (repeats + 1)) / len(shares))
            kept = shares_kept(network, keep_at_random(network, picture, share))
            error = (fast - exact).square().mean().item()
            rows.append(
                Row(
                    share,
                    {path: statistics.median(times) for path, times in taken.items()},
                    cost.spent(kept),
                    (fast - exact).abs().max().item(),
                    -10 * math.log10(error) if error else math.inf,
                )
            )
    line = fit_line([row.share for row in rows], [row.seconds["fast"] for row in rows])
    return Comparison(task, torch.get_num_threads(), peak, tuple(rows), line)


def _check_memory(network: LMDViT, task: Task, device: torch.device) -> None:
    """Refuse what the plain path could not hold: it runs beside the others, in float32."""
    features = PLAIN_FEATURES * network.features_per_pixel
    needed = task.width * task.height * features * torch.float32.itemsize
    room = available_memory(device)
    if room is not None and needed > room:
        raise InputError(
            f"A picture of {task.width} x {task.height} pixels needs {needed / 2**30:.1f} GiB in "
            f"plain torch, and {room / 2**30:.1f} GiB are free on {device}: choose a smaller one."
        )


def fit_line(shares: Sequence[float], seconds: Sequence[float]) -> Line:
    """Fit seconds over shares by least squares; two different shares at least."""
    slope, intercept = statistics.linear_regression(shares, seconds)
    mean = statistics.fmean(seconds)
    left = sum((s - intercept - slope * x) ** 2 for x, s in zip(shares, seconds, strict=True))
    spread = sum((s - mean) ** 2 for s in seconds)
    return Line(slope, intercept, 1 - left / spread if spread else 1.0)

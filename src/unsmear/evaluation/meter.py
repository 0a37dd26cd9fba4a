"""Time and memory that one call takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

T = TypeVar("T")
_RESET_PEAK = "5"  # what Linux wants to hear, see proc(5)


class Taken(NamedTuple):
    """What a call took.

    Attributes:
        seconds: with the device synchronised before and after.
        peak_memory: largest memory in bytes meanwhile: allocated by torch on CUDA, resident in the
            process on a Linux CPU; None where neither can be known.
    """

    seconds: float
    peak_memory: int | None


def metered(call: Callable[[], T], device: torch.device) -> tuple[T, Taken]:
    """Call, and tell what it took."""
    _reset_peak(device)
    _synchronise(device)
    started = time.perf_counter()
    result = call()
    _synchronise(device)
    seconds = time.perf_counter() - started
    return result, Taken(seconds, _peak(device))


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "cpu":
        # Where the kernel does not allow it, the peak is that of the process so far.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK)


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)

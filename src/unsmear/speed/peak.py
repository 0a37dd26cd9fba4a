"""How many operations a second this machine's matrix products reach at best."""

from __future__ import annotations

import time

import torch

from unsmear.layers.packed import PackedLinear

SIDES = {"cpu": (8192, 1024, 1024), "cuda": (8192, 8192, 8192), "mps": (4096, 4096, 4096)}
SECONDS = 1.0


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second (two for a multiply-add) of the best of many large matrix products."""
    rows, inner, columns = SIDES.get(device.type, SIDES["cpu"])
    x = torch.randn(rows, inner, device=device).to(dtype)
    multiply = PackedLinear(torch.randn(columns, inner, device=device).to(dtype), None)
    multiply(x)
    _wait(device)
    best = float("inf")
    ends = time.perf_counter() + SECONDS
    while best == float("inf") or time.perf_counter() < ends:  # once, however long it takes
        started = time.perf_counter()
        multiply(x)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()

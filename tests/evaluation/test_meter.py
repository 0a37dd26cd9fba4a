"""Time and memory of a call."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch

from unsmear.evaluation.meter import metered


def test_time_is_that_of_the_call() -> None:
    result, taken = metered(lambda: time.sleep(0.02) or 7, torch.device("cpu"))
    assert result == 7
    assert taken.seconds >= 0.02


PEAKS = """
import torch
from unsmear.evaluation.meter import metered
for numbers in (25_000_000, 10):
    print(metered(lambda: float(torch.ones(numbers).sum()), torch.device("cpu"))[1].peak_memory)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_the_peak_is_that_of_the_call() -> None:
    # In a process of its own: this one has freed memory that a call may take unnoticed.
    peaks = subprocess.run(
        [sys.executable, "-c", PEAKS], capture_output=True, check=True, text=True
    )
    large, small = map(int, peaks.stdout.split())
    assert large - small > 50_000_000


@pytest.mark.gpu
def test_the_peak_on_cuda_is_torchs() -> None:
    cuda = torch.device("cuda")
    before = torch.cuda.memory_allocated()
    _, taken = metered(lambda: float(torch.ones(25_000_000, device=cuda).sum()), cuda)
    assert taken.peak_memory is not None
    assert taken.peak_memory - before >= 100_000_000

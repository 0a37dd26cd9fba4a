"""Time and memory of a call."""

from __future__ import annotations

import sys
import time

import pytest
import torch

from unsmear.evaluation.meter import metered


def test_time_is_that_of_the_call() -> None:
    result, taken = metered(lambda: time.sleep(0.02) or 7, torch.device("cpu"))
    assert result == 7
    assert taken.seconds >= 0.02


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_the_peak_is_that_of_the_call() -> None:
    cpu = torch.device("cpu")
    large = metered(lambda: float(torch.ones(25_000_000).sum()), cpu)[1].peak_memory
    small = metered(lambda: float(torch.ones(10).sum()), cpu)[1].peak_memory
    assert large is not None
    assert small is not None
    assert large - small > 50_000_000


@pytest.mark.gpu
def test_the_peak_on_cuda_is_torchs() -> None:
    cuda = torch.device("cuda")
    before = torch.cuda.memory_allocated()
    _, taken = metered(lambda: float(torch.ones(25_000_000, device=cuda).sum()), cuda)
    assert taken.peak_memory is not None
    assert taken.peak_memory - before >= 100_000_000

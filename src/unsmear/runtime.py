"""Choices that belong to the process: the allocator, the device and the number type."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Literal

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGE = 1 << 30


_KERNELS = "16384"


def tune_process() -> None:
    """Make this process fast on a CPU; call it once, early, in processes of our own only."""
    tune_allocator()
    # oneDNN prepares a kernel for every new shape and remembers 1024 of them; window counts differ
    # from block to block, so that a run sees several thousand. Read when the first one is made.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS)


def tune_allocator() -> bool:
    """Let glibc keep freed memory instead of handing every large tensor back to the kernel.

    By default glibc maps large tensors afresh and faults in each page again at every operation,
    which can double the run time on a CPU. It changes the whole process. Returns whether it took
    effect (Linux with glibc).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    # mallopt takes ints; 32-bit MMAP thresholds above HEAP_MAX/2 are honoured on 64-bit glibc.
    settings = ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE), (_M_TOP_PAD, 64 << 20))
    return all(mallopt(name, value) for name, value in settings)

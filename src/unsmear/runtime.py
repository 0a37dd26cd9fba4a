"""Choices that belong to the process: the allocator, the device and the number type."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from pathlib import Path

import torch

from unsmear.cgroups import allowed_processors, memory_room
from unsmear.errors import InputError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEPT = 1 << 30
_LARGE = 1 << 27
_KERNELS = "16384"


def tune_process() -> None:
    """Make this process fast on a CPU; call it once, early, in processes of our own only."""
    tune_allocator()
    tune_threads()
    # oneDNN prepares a kernel for every new shape and remembers 1024 of them; window counts differ
    # from block to block, so that a run sees several thousand. Read when the first one is made.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS)


def tune_allocator() -> bool:
    """Let glibc keep freed memory instead of handing every large tensor back to the kernel.

    By default glibc maps large tensors afresh and faults in each page again at every operation,
    which can double the run time on a CPU. It changes the whole process. Returns whether it took
    effect (Linux with glibc).

    The maps of large photos, from 128 MiB, are still mapped and handed back one by one: among kept
    memory few holes fit them, and a photo would take half as much again.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, 64 << 20))
    return all(mallopt(name, value) for name, value in settings)


def tune_threads() -> None:
    """Let torch use no more threads than this process may keep busy; ``OMP_NUM_THREADS`` rules.

    torch counts the processors that it sees, and a limit such as Docker's ``--cpus`` hides none:
    threads beyond it spend the time that the others need in waiting for each other.
    """
    allowed = allowed_processors()
    if "OMP_NUM_THREADS" in os.environ or allowed is None:
        return
    if math.ceil(allowed) < torch.get_num_threads():
        torch.set_num_threads(math.ceil(allowed))


def resolve_device(name: str | torch.device) -> torch.device:
    """The device of a name, or a device itself; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: an unknown name, or a device that this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise InputError(f"There is no device {name!r}; choose auto, cpu, cuda or mps.") from None
    present = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (device.index or 0) >= present.get(device.type, 0):
        raise InputError(f"This machine has no usable {device} device; use --device auto.")
    return device


def resolve_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The number type of a name, or one of these types itself.

    "auto" takes bfloat16 where ``device`` computes it fast.

    Raises:
        InputError: an unknown name.
    """
    if name == "auto":
        return torch.bfloat16 if _has_fast_bfloat16(device) else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    for title, kind in known.items():
        if name in (title, kind):
            return kind
    raise InputError(f"There is no number type {name!r}; choose auto, {', '.join(known)}.")


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch has no public question for this; without an answer float32 is always right.
        ask = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        return bool(ask())
    return False


def available_memory(device: torch.device) -> int | None:
    """Bytes that may still be used on ``device``, None where that cannot be known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), None)
    if free is None:
        return None
    room = memory_room()
    return free * 1024 if room is None else min(free * 1024, room)

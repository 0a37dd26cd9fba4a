"""How much to compute at a time: cache-sized pieces on the CPU, large ones on an accelerator.

A block of LMD-ViT writes activations many times the size of its input. Computed over pieces whose
input is a few hundred thousand elements, these stay in the processor's cache and never exist for
the whole picture: the largest single gain in speed on a CPU, and what bounds the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

CPU_ELEMENTS = 256 * 1024
ACCELERATOR_ELEMENTS = 64 * 1024 * 1024


def chunk_length(channels: int, device: torch.device) -> int:
    """Tokens of ``channels`` elements that make one piece on ``device``."""
    elements = CPU_ELEMENTS if device.type == "cpu" else ACCELERATOR_ELEMENTS
    return max(64, elements // channels)


def token_chunks(count: int, channels: int, device: torch.device) -> Iterator[slice]:
    """Slices that cover ``count`` tokens of ``channels`` elements, one piece at a time."""
    length = chunk_length(channels, device)
    for start in range(0, count, length):
        yield slice(start, min(count, start + length))

"""What the user asked for, beside files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wishes:
    """What the user asked for, beside files.

    Attributes:
        model: name or checkpoint.
        device: "auto", "cpu", "cuda", "mps".
        dtype: "auto", "float32", "bfloat16", "float16".
        tile: side of forced tiles.
        mask: file whose white says where to deblur.
        boxes: rectangles (x, y, width, height) to deblur.
        threshold: blur confidence above which a window is kept.
        strength: share of the change that is applied.
        budget: of networks that sample pixels, how many more to work on.
        dense: prune nothing.
        whole: give the network's raw output.
        max_pixels: larger pictures are refused.
    """

    model: str
    device: str = "auto"
    dtype: str = "auto"
    tile: int | None = None
    mask: Path | None = None
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    threshold: float = 0.5
    strength: float = 1.0
    budget: float = 0.0
    dense: bool = False
    whole: bool = False
    max_pixels: int = 200_000_000

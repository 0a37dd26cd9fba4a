"""What a user may say about a restoration: where, how surely, how strongly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from unsmear.errors import InputError

Box = tuple[int, int, int, int]  # x, y, width, height in pixels


@dataclass(frozen=True, eq=False)
class Steering:
    """Wishes for one picture; the defaults leave everything to the network.

    Attributes:
        mask: (H, W) bool; only there the picture is deblurred, whatever the network found.
        boxes: rectangles (x, y, width, height) in pixels, likewise; joined with the mask.
        threshold: a window is kept when its blur confidence is above this; in [0, 1].
        strength: share of the change that is applied; in [0, 1].
        budget: of networks that sample pixels: how many more to work on than planned, from -0.5
            (half) to 1 (twice).
        dense: compute every window, and let every pixel change.
        whole: give the network's raw output instead of putting kept windows into the input.
    """

    mask: np.ndarray | None = None
    boxes: tuple[Box, ...] = ()
    threshold: float = 0.5
    strength: float = 1.0
    budget: float = 0.0
    dense: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        for name in ("threshold", "strength"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= float(value) <= 1):
                raise InputError(f"The {name} lies in [0, 1], got {value!r}.")
        if self.mask is not None and not isinstance(self.mask, np.ndarray):
            raise InputError(
                f"The mask is an array of True or False, got {type(self.mask).__name__}; make one "
                "of it first, as in np.asarray(mask) > 127."
            )
        if self.mask is not None and self.mask.dtype != np.bool_:
            raise InputError(
                f"The mask holds {self.mask.dtype}, it is True or False for each pixel; compare it "
                "first, as in mask > 127."
            )
        given = self.boxes if isinstance(self.boxes, Iterable) else (self.boxes,)
        object.__setattr__(self, "boxes", tuple(map(_as_box, given)))

    def region(self, height: int, width: int) -> np.ndarray | None:
        """Where the user wants it deblurred: (H, W) bool, None for anywhere.

        Raises:
            InputError: a mask of another size, or a box that misses the picture.
        """
        if self.mask is None and not self.boxes:
            return None
        region = np.zeros((height, width), dtype=bool)
        if self.mask is not None:
            if self.mask.shape != (height, width):
                got = "x".join(map(str, self.mask.shape[::-1]))
                raise InputError(
                    f"The mask has {got} pixels, the picture {width}x{height}; resize the mask."
                )
            region |= self.mask
        for x, y, box_width, box_height in self.boxes:
            if x >= width or y >= height:
                raise InputError(
                    f"The box {x},{y},{box_width},{box_height} lies outside the picture of "
                    f"{width}x{height} pixels."
                )
            region[y : y + box_height, x : x + box_width] = True
        return region


def _as_box(given: Any) -> Box:
    """Four whole numbers that can be x, y, width and height, as Python's own."""
    numbers = tuple(given) if isinstance(given, Iterable) else (given,)
    if len(numbers) == 4 and all(isinstance(each, Integral) for each in numbers):
        x, y, width, height = map(int, numbers)
        if min(x, y) >= 0 and min(width, height) >= 1:
            return x, y, width, height
    got = ",".join(map(str, numbers))
    raise InputError(f"A box is X,Y,W,H in whole pixels with W and H from 1, got {got}.")

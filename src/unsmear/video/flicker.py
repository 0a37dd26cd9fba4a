"""How much a clip flickers more than it did."""

from __future__ import annotations

from collections import deque

import numpy as np

STILL = 2.0  # grey levels of 255 by which a still pixel changes at most from frame to frame


class Flicker:
    """Adds up over frames how much what was still has become restless.

    A pixel is still in three frames when its input luma x changes by at most :data:`STILL` levels
    from the first to the second and from the second to the third. The figure is the mean over all
    still pixels of |y0 - 2 y1 + y2| - |x0 - 2 x1 + x2|, in levels of 255, where y is the output:
    the second difference over time, which a steady change of brightness leaves at 0 and blinking
    does not. 0 is a clip that is as calm as it was, and below 0 is calmer.
    """

    def __init__(self, bits: int) -> None:
        self.unit = 1 << (bits - 8)
        self.total = 0.0
        self.pixels = 0
        self._last: deque[tuple[np.ndarray, np.ndarray | None]] = deque(maxlen=3)

    def put(self, before: np.ndarray, after: np.ndarray | None) -> None:
        """Take the next frame: its luma before and after, (H, W); None for after is no change."""
        self._last.append((before.copy(), after if after is None else after.copy()))
        if len(self._last) < 3:
            return
        x0, x1, x2 = (pair[0].astype(np.int32) for pair in self._last)
        limit = STILL * self.unit
        still = (abs(x1 - x0) <= limit) & (abs(x2 - x1) <= limit)
        self.pixels += int(still.sum())
        if all(pair[1] is None for pair in self._last):
            return
        made = [pair[0] if pair[1] is None else pair[1] for pair in self._last]
        y0, y1, y2 = (luma.astype(np.int32) for luma in made)
        more = abs(y0 - 2 * y1 + y2) - abs(x0 - 2 * x1 + x2)
        self.total += float(more[still].sum()) / self.unit

"""Which of the kept windows to change: not where the network doubts, nor where nothing would show.

Windows at a subject's border, or where it has little texture, look hardly blurred; that they
belong to it shows only beside others. Alone, so doubtful a window is more often sharp. With this
the threshold may be low, and yet a sharp photo stays as it is (hysteresis, as for Canny's edges).

Smooth places, a sky or a soft background, are now and then taken for blurred, and restored to what
they were but for a level here and there. Nobody would see the change, yet they would no longer be
the photo's own numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SURE = 12.0  # times the threshold's odds
FAINT = 0.75 / 255  # mean change of a colour that shows nowhere
FAINT_CELL = 8  # px
FAINT_REACH = 2  # cells to every side that the mean is taken over


def sure_regions(kept: Tensor, confidence: Tensor, threshold: float, side: int) -> Tensor:
    """Drop the regions without a window of which the network is sure.

    Windows that touch, at a corner too, are of one region.

    Args:
        kept: bool [H, W], pixels of kept windows.
        confidence: float [H, W] in [0, 1], that a pixel is blurred.
        threshold: above which windows were kept, in [0, 1]; a window is sure when the odds of its
            mean confidence are :data:`SURE` times those of the threshold.
        side: of a window, in pixels.

    Returns:
        bool [H, W], part of ``kept``.
    """
    h, w = kept.shape
    certain = SURE * threshold / (SURE * threshold + 1 - threshold)
    padding = (0, -w % side, 0, -h % side)
    cells = F.max_pool2d(F.pad(kept.float()[None], padding), side)
    padded = F.pad(confidence[None, None], padding, mode="replicate")[0]
    sure = (F.avg_pool2d(padded, side) >= certain)[0] & (cells > 0)[0]
    numbers = number_regions(cells[0] > 0)
    stays = torch.zeros(numbers.numel(), dtype=torch.bool)
    stays[numbers[sure]] = True
    pixels = stays[numbers].repeat_interleave(side, 0).repeat_interleave(side, 1)
    return kept & pixels[:h, :w]


def visible_change(kept: Tensor, image: Tensor, restored: Tensor) -> Tensor:
    """Drop the cells around which restoring would change too little to be seen.

    The mean is over the kept pixels of a cell of :data:`FAINT_CELL` pixels and of those within
    :data:`FAINT_REACH` cells of it; a number that is not finite counts as seen.

    Args:
        kept: bool [H, W], pixels of kept windows.
        image: float [3, H, W] in [0, 1], the input.
        restored: like ``image``, what the network made of it; not clamped.

    Returns:
        bool [H, W], part of ``kept``.
    """
    if not kept.any():
        return kept
    h, w = kept.shape
    change = torch.zeros(h, w)
    for before, after in zip(image, restored, strict=True):  # one plane at a time spares memory
        change += (after.clamp(0, 1) - before).abs_()
    both = torch.stack([torch.where(kept, change / 3, 0.0), kept.float()])
    cells = F.avg_pool2d(both, FAINT_CELL, ceil_mode=True)
    summed = F.avg_pool2d(cells, 2 * FAINT_REACH + 1, stride=1, padding=FAINT_REACH)
    seen = ~(summed[0] < FAINT * summed[1])
    pixels = seen.repeat_interleave(FAINT_CELL, 0).repeat_interleave(FAINT_CELL, 1)
    return kept & pixels[:h, :w]


def number_regions(cells: Tensor) -> Tensor:
    """Number the regions of a map: bool [h, w] -> int64 [h, w], equal where cells are connected.

    A region's number is the place of its first cell, row by row; other cells have their own. In
    each round a region's parts take the least number around them and pass it on to all that share
    theirs, so that winding ones take few rounds, too.
    """
    h, w = cells.shape
    numbers = torch.arange(h * w)
    inside = cells.flatten()
    while True:
        seen = torch.where(inside, numbers, h * w).double()
        least = -F.max_pool2d(-seen.reshape(1, h, w), 3, stride=1, padding=1).flatten()
        least = torch.where(inside, least.long(), numbers)
        joined = least.scatter_reduce(0, numbers, least, "amin")
        joined = joined[joined]
        if torch.equal(joined, numbers):
            return numbers.reshape(h, w)
        numbers = joined

"""What moves in a clip of a static camera, and which parts of a frame the network is to see."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.video.colours import Box

CELL = 4  # px, side of the cells that are compared, and that masks are made of
LEAST = 2.0  # grey levels of 255 that the mean of a cell changes by at least where it moves
MOST = 5.0  # levels from which on it moves, however noisy the clip is
NOISE = 6.0  # times the median change of a frame, which is noise where most of it is still
COMPANY = 5  # changed cells of the 5 x 5 around one that are more than noise
GROW = 4  # cells that moving parts grow by: soft edges, and even areas inside a thing that moves
THING = 8  # cells, side of the squares in which things hang together
WORTH = 0.8  # share of a frame from which on its parts are seen as the whole frame


def shrunk(luma: np.ndarray, bits: int) -> Tensor:
    """Means of a luma plane's cells: (H, W) -> float32 [H / 4, W / 4], rounded up, 0 to 255."""
    values = torch.from_numpy(luma.astype(np.float32))[None, None]
    values = F.pad(values, (0, -luma.shape[1] % CELL, 0, -luma.shape[0] % CELL), mode="replicate")
    return F.avg_pool2d(values, CELL)[0, 0] / (1 << (bits - 8))


def moving(before: Tensor | None, frame: Tensor, after: Tensor | None) -> Tensor:
    """Cells that are other ones in the frame before or after, grown: bool [H / 4, W / 4].

    Each frame is what :func:`shrunk` makes of it; None is beyond an end of the clip. A still
    picture of a moving thing differs from both its neighbours, that of a thing which stops or
    starts from one. A few cells that change by themselves are noise.
    """
    changed = torch.zeros_like(frame, dtype=torch.bool)
    others = [other for other in (before, after) if other is not None]
    for other in others:
        change = (frame - other).abs()
        limit = float(np.clip(NOISE * float(change.median()), LEAST, MOST))
        changed |= change > limit
    if not others:
        return torch.ones_like(changed)
    company = F.avg_pool2d(changed[None].float(), 5, stride=1, padding=2)[0] * 25
    return grown(changed & (company > COMPANY - 0.5), GROW)


def grown(cells: Tensor, reach: int) -> Tensor:
    """Cells up to ``reach`` cells beside those that are set: bool [h, w] -> bool [h, w]."""
    values = cells[None].float()
    values = F.max_pool2d(values, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(values, (1, 2 * reach + 1), stride=1, padding=(0, reach))[0] > 0


def cells_of(pixels: Tensor) -> Tensor:
    """Cells that hold a set pixel: bool [H, W] -> bool [H / 4, W / 4], rounded up."""
    h, w = pixels.shape
    return F.max_pool2d(F.pad(pixels[None].float(), (0, -w % CELL, 0, -h % CELL)), CELL)[0] > 0


def pixels_of(cells: Tensor, box: Box) -> Tensor:
    """The pixels of a part of a frame that lie in set cells: bool [h, w] -> bool [H, W].

    The part begins with a whole cell.
    """
    own = cells[box.top // CELL : -(-box.bottom // CELL), box.left // CELL : -(-box.right // CELL)]
    whole = own.repeat_interleave(CELL, dim=0).repeat_interleave(CELL, dim=1)
    return whole[: box.bottom - box.top, : box.right - box.left]


def parts(cells: Tensor, height: int, width: int, step: int, margin: int) -> list[Box]:
    """Parts of a frame that hold all set cells and what surrounds them.

    Args:
        cells: bool [H / 4, W / 4].
        height: of the frame.
        width: likewise.
        step: parts begin on this grid, so that the network's windows lie where they lie in the
            whole frame; a multiple of 4.
        margin: pixels around the cells that belong to a part at least.

    Returns:
        Boxes that do not overlap, the whole frame where they would be most of it, none where no
        cell is set.
    """
    whole = Box(0, 0, height, width)
    boxes: list[Box] = []
    for top, left, bottom, right in _things(grown(cells, -(-margin // CELL))):
        box = Box(
            top // step * step,
            left // step * step,
            min(height, -(-bottom // step) * step),
            min(width, -(-right // step) * step),
        )
        while shared := [other for other in boxes if _overlap(box, other)]:
            boxes = [other for other in boxes if other not in shared]
            box = _around([box, *shared])
        boxes.append(box)
    return [whole] if sum(box.area for box in boxes) >= WORTH * whole.area else boxes


def _things(cells: Tensor) -> list[Box]:
    """Bounds, in pixels, of what hangs together when seen in squares of :data:`THING` cells."""
    h, w = cells.shape
    padded = F.pad(cells[None].float(), (0, -w % THING, 0, -h % THING))
    left_over = {(row, column) for row, column in F.max_pool2d(padded, THING)[0].nonzero().tolist()}
    side, found = THING * CELL, []
    while left_over:
        reached = [left_over.pop()]
        for row, column in reached:  # grows while it is gone through
            beside = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left_over
            left_over -= beside
            reached += beside
        rows, columns = zip(*reached, strict=True)
        top, left = min(rows) * side, min(columns) * side
        found.append(Box(top, left, (max(rows) + 1) * side, (max(columns) + 1) * side))
    return sorted(found)


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.top < other.bottom
        and other.top < one.bottom
        and one.left < other.right
        and other.left < one.right
    )


def _around(boxes: list[Box]) -> Box:
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return Box(min(tops), min(lefts), max(bottoms), max(rights))

"""Where an averaged picture visibly differs from its sharp twin."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from unsmear.data.morphology import close_gaps, fill_holes

# Below three grey levels a difference drowns in noise and 8-bit rounding.
VISIBLE_DIFFERENCE = 3 / 255


def visible_blur_mask(
    blurred: Tensor,
    sharp: Tensor,
    swept: Tensor,
    close_radius: int = 7,
    largest_hole: float = 0.02,
) -> Tensor:
    """Mark the visibly blurred pixels, textured and flat ones alike.

    Args:
        blurred: [3, H, W] clean averaged picture, sRGB values in [0, 1].
        sharp: [3, H, W] clean sharp picture, sRGB values in [0, 1].
        swept: [H, W] bool, where a moving thing was at any time of the exposure.
        close_radius: gaps up to twice this many pixels between visible differences are closed.
        largest_hole: enclosed holes up to this share of the picture are filled.

    Returns:
        [1, H, W] float32 mask of 0 and 1: the visible differences, closed and without small
        holes, inside the swept area grown by 2 px.
    """
    difference = (blurred - sharp).abs().amax(dim=0) > VISIBLE_DIFFERENCE
    visible = difference.to(torch.uint8).cpu().numpy()
    if not visible.any():
        return torch.zeros((1, *visible.shape), dtype=torch.float32, device=blurred.device)
    # Work on the box round the differences: most of the picture is usually still.
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    room = 2 * close_radius
    top, left = max(rows[0] - room, 0), max(columns[0] - room, 0)
    box = np.s_[top : rows[-1] + 1 + room, left : columns[-1] + 1 + room]
    closed = close_gaps(visible[box], close_radius)
    closed = fill_holes(closed, largest_hole * visible.size)
    grown = cv2.dilate(swept.to(torch.uint8).cpu().numpy(), np.ones((5, 5), np.uint8))
    mask = visible.copy()
    mask[box] |= closed
    mask &= grown
    return torch.from_numpy(mask).to(blurred.device).float()[None]

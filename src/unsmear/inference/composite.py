"""Do no harm: put what the network restored into the input, and nothing else."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GROW = 4  # px that kept windows grow, so that a blurred edge on their border is covered
FEATHER = 4  # px over which the change fades out beyond that
CELL = 512  # px, side of the cells whose mean colour must not drift
LARGEST_DRIFT = 8 / 255


class Composite(NamedTuple):
    """A restored picture put into its input.

    Attributes:
        rgb: (H, W, 3), the input's type; equal to the input where ``touched`` is False.
        touched: (H, W) bool, pixels that changed.
        refused: cells given back as they were because the network's output there was not sane.
    """

    rgb: np.ndarray
    touched: np.ndarray
    refused: int


def kept_weight(kept: Tensor) -> Tensor:
    """Weight of the change around kept windows: bool [H, W] -> float [H, W].

    1 in the windows grown by :data:`GROW`, 0 from :data:`FEATHER` pixels further on.
    """
    reach = GROW + FEATHER
    return _feathered(_grown(kept, reach - FEATHER // 2))


def region_weight(region: Tensor) -> Tensor:
    """Weight of the change in a user's region: bool [H, W] -> float [H, W], 0 outside it."""
    shrunk = ~_grown(~region, FEATHER // 2)
    return torch.where(region, _feathered(shrunk), 0.0)


def _grown(mask: Tensor, reach: int) -> Tensor:
    """Grow a bool map [H, W] by ``reach`` pixels to every side, corners too."""
    for axis in range(2):
        mask = F.pad(mask, (0, 0, reach, reach) if axis == 0 else (reach, reach), value=False)
        # Of two runs, one moved by the other's length, comes one of twice that: far fewer
        # passes than pixels in the reach.
        run = 1
        while run <= 2 * reach:
            step = min(run, 2 * reach + 1 - run)
            rest = mask.shape[axis] - step
            mask = mask.narrow(axis, 0, rest) | mask.narrow(axis, step, rest)
            run += step
    return mask


def _feathered(mask: Tensor) -> Tensor:
    half = FEATHER // 2
    padded = F.pad(mask.float()[None], (half, half, half, half), mode="replicate")
    rows = F.avg_pool2d(padded, (2 * half + 1, 1), stride=1)
    return F.avg_pool2d(rows, (1, 2 * half + 1), stride=1)[0]


def compose(rgb: np.ndarray, restored: Tensor, weight: Tensor) -> Composite:
    """Put a restored picture into its input, cell by cell where there is any weight.

    Args:
        rgb: (H, W, 3) uint8 or uint16, the input.
        restored: [3, H, W] in [0, 1], what the network made of it.
        weight: [H, W] in [0, 1]; where it is 0 the input stays to the bit.
    """
    height, width = rgb.shape[:2]
    out, touched, refused = rgb.copy(), np.zeros((height, width), bool), 0
    for top, left in product(range(0, height, CELL), range(0, width, CELL)):
        cell = slice(top, top + CELL), slice(left, left + CELL)
        if not weight[cell].any():
            continue
        made = _composed(rgb[cell], restored[:, cell[0], cell[1]], weight[cell])
        if made is None:
            refused += 1
            continue
        different = made != rgb[cell]
        changed = different[..., 0] | different[..., 1] | different[..., 2]
        touched[cell] = changed & (weight[cell] > 0).numpy()
        np.copyto(out[cell], made, where=touched[cell][..., None])
    return Composite(out, touched, refused)


def _composed(rgb: np.ndarray, restored: Tensor, weight: Tensor) -> np.ndarray | None:
    """One cell, like :func:`compose`; None where what the network made is not sane.

    That is, where it is not finite or its mean colour drifts. Motion blur moves light about but
    neither adds nor removes it, so the mean of what changed may not. It is taken over the changed
    area, yet over an eighth of a whole cell at least: light does cross the border of a small area.
    """
    white = float(np.iinfo(rgb.dtype).max)
    source = torch.from_numpy(rgb.astype(np.float32) / white).permute(2, 0, 1)
    worked = weight > 0
    change = torch.where(worked, (restored.clamp(0, 1) - source) * weight, 0.0)
    drift = change.sum(dim=(1, 2)).abs() / weight.sum().clamp(min=CELL * CELL / 8)
    finite = restored.isfinite() | ~worked
    if not bool(finite.all()) or bool((drift > LARGEST_DRIFT).any()):
        return None
    made = ((source + change) * white).round_().clamp_(0, white)
    return made.permute(1, 2, 0).numpy().astype(rgb.dtype)

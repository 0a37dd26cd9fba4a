"""Do no harm: put what the network restored into the input, and nothing else."""

from __future__ import annotations

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
    return _feathered(_grown(kept.float()[None], reach - FEATHER // 2))


def region_weight(region: Tensor) -> Tensor:
    """Weight of the change in a user's region: bool [H, W] -> float [H, W], 0 outside it."""
    shrunk = 1 - _grown(1 - region.float()[None], FEATHER // 2)
    return torch.where(region, _feathered(shrunk), 0.0)


def _grown(mask: Tensor, reach: int) -> Tensor:
    mask = F.max_pool2d(mask, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(mask, (1, 2 * reach + 1), stride=1, padding=(0, reach))


def _feathered(mask: Tensor) -> Tensor:
    half = FEATHER // 2
    padded = F.pad(mask, (half, half, half, half), mode="replicate")
    rows = F.avg_pool2d(padded, (2 * half + 1, 1), stride=1)
    return F.avg_pool2d(rows, (1, 2 * half + 1), stride=1)[0]


def compose(rgb: np.ndarray, restored: Tensor, weight: Tensor) -> Composite:
    """Put a restored picture into its input.

    Args:
        rgb: (H, W, 3) uint8 or uint16, the input.
        restored: [3, H, W] in [0, 1], what the network made of it.
        weight: [H, W] in [0, 1]; where it is 0 the input stays to the bit.
    """
    white = float(np.iinfo(rgb.dtype).max)
    source = torch.from_numpy(rgb.astype(np.float32) / white).permute(2, 0, 1)
    change = (restored.clamp(0, 1) - source) * weight
    sane = _sane_cells(change, restored, weight)
    refused = int((~sane).sum())
    if refused:
        inside = F.interpolate(sane.float()[None, None], scale_factor=CELL)[0, 0]
        inside = inside[: rgb.shape[0], : rgb.shape[1]] > 0
        change = torch.where(inside, change, 0.0)
    out = ((source + change) * white).round_().clamp_(0, white)
    made = out.permute(1, 2, 0).numpy().astype(rgb.dtype)
    touched = (made != rgb).any(axis=2) & (weight > 0).numpy()
    return Composite(np.where(touched[..., None], made, rgb), touched, refused)


def _sane_cells(change: Tensor, restored: Tensor, weight: Tensor) -> Tensor:
    """Cells whose output is finite and keeps the mean colour: bool [H, W] / CELL, rounded up.

    Motion blur moves light about but neither adds nor removes it, so the mean of what changed may
    not drift. It is taken over the changed area, yet over an eighth of a cell at least: light does
    cross the border of a small area.
    """
    finite = torch.isfinite(restored).all(dim=0) | (weight == 0)
    bad = _cell_sums(~finite) > 0
    area = _cell_sums(weight).clamp(min=CELL * CELL / 8)
    drift = torch.stack([_cell_sums(torch.nan_to_num(c)) for c in change]).abs() / area
    return ~bad & (drift.amax(dim=0) <= LARGEST_DRIFT)


def _cell_sums(values: Tensor) -> Tensor:
    h, w = values.shape
    padded = F.pad(values.float(), (0, -w % CELL, 0, -h % CELL))
    return F.avg_pool2d(padded[None], CELL)[0] * (CELL * CELL)

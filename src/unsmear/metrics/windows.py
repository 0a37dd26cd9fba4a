"""How well the kept windows fit the blur: accuracy, precision and recall, counted in pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class WindowAgreement(NamedTuple):
    """Shares in [0, 1]; NaN where nothing is there to be shared."""

    accuracy: float  # pixels on the right side
    precision: float  # blurred ones among the kept pixels
    recall: float  # kept ones among the blurred pixels
    sharp_kept: float  # kept ones among the windows without a blurred pixel


def kept_pixels(keep: Tensor, side: int, shift: int, height: int, width: int) -> Tensor:
    """Spread decisions over the pixels they stand for.

    Args:
        keep: [B, 1, h, w] 0/1 in the rolled frame of its block.
        side: pixels in a window's side.
        shift: roll of the block, in pixels of the picture.
        height: of the picture; what was padded is cut off.
        width: likewise.

    Returns:
        bool [B, 1, height, width].
    """
    pixels = keep.bool().repeat_interleave(side, dim=-2).repeat_interleave(side, dim=-1)
    return torch.roll(pixels, (shift, shift), dims=(-2, -1))[..., :height, :width]


def window_agreement(kept: Tensor, blur_mask: Tensor, side: int) -> WindowAgreement:
    """Compare kept pixels with a blur mask, both [B, 1, H, W], for windows of ``side`` pixels."""
    blurred = blur_mask > 0.5
    tiles = torch.nn.functional.max_pool2d(blurred.float(), side, ceil_mode=True) > 0
    near = tiles.repeat_interleave(side, -2).repeat_interleave(side, -1)
    sharp = ~near[..., : kept.shape[-2], : kept.shape[-1]]
    return WindowAgreement(
        accuracy=_share(kept == blurred, torch.ones_like(kept)),
        precision=_share(blurred, kept),
        recall=_share(kept, blurred),
        sharp_kept=_share(kept, sharp),
    )


def _share(part: Tensor, whole: Tensor) -> float:
    return float((part & whole).sum() / whole.sum())

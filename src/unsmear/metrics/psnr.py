"""Peak signal-to-noise ratio in decibels, over the whole picture and inside a blur mask."""

from __future__ import annotations

import torch
from torch import Tensor

from unsmear.metrics.ssim import masked_mean


def _decibels(squared_error: Tensor) -> Tensor:
    return -10 * torch.log10(squared_error)


def psnr(restored: Tensor, sharp: Tensor) -> Tensor:
    """PSNR of each image for a peak of 1: [B, C, H, W] twice -> [B] in dB, infinite where equal.

    ``restored`` is clamped to [0, 1] first, as a file would.
    """
    return _decibels((restored.clamp(0, 1) - sharp).square().mean(dim=(1, 2, 3)))


def weighted_psnr(restored: Tensor, sharp: Tensor, blur_mask: Tensor) -> Tensor:
    """PSNR of the mean squared error inside a mask [B, 1, H, W]: -> [B]; NaN for an empty mask."""
    return _decibels(masked_mean((restored.clamp(0, 1) - sharp).square(), blur_mask))

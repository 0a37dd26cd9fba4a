"""Peak signal-to-noise ratio in decibels, over the whole picture and inside a blur mask."""

from __future__ import annotations

import torch
from torch import Tensor

from unsmear.metrics.inputs import check_mask, check_pictures
from unsmear.metrics.ssim import masked_mean


def _decibels(squared_error: Tensor) -> Tensor:
    return -10 * torch.log10(squared_error)


def psnr(restored: Tensor, sharp: Tensor) -> Tensor:
    """PSNR of each image for a peak of 1: [B, C, H, W] twice -> [B] in dB, infinite where equal.

    ``restored`` is clamped to [0, 1] first, as a file would.

    Raises:
        InputError: pictures of unequal shapes, or integers.
    """
    return _decibels(_squared_error(restored, sharp).mean(dim=(1, 2, 3)))


def weighted_psnr(restored: Tensor, sharp: Tensor, blur_mask: Tensor) -> Tensor:
    """PSNR of the mean squared error inside a mask [B, 1, H, W]: -> [B]; NaN for an empty mask.

    Raises:
        InputError: as :func:`psnr`, or a mask of another shape.
    """
    error = _squared_error(restored, sharp)
    return _decibels(masked_mean(error, check_mask(blur_mask, error)))


def _squared_error(restored: Tensor, sharp: Tensor) -> Tensor:
    restored, sharp = check_pictures(restored, sharp)
    return (restored - sharp).square()

"""Structural similarity (Wang et al. 2004) as an image of local values.

11 x 11 Gaussian window with sigma 1.5, population statistics, no padding: a picture loses 5 pixels
on each side, as the authors' training loss and the usual definition do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.errors import InputError
from unsmear.metrics.inputs import check_mask, check_pictures, precise

WINDOW = 11
SIGMA = 1.5
BORDER = WINDOW // 2


def _window(like: Tensor) -> Tensor:
    place = torch.arange(WINDOW, dtype=torch.float64) - BORDER
    weights = torch.exp(-(place**2) / (2 * SIGMA**2))
    return (weights / weights.sum()).to(like)


def _smooth(x: Tensor) -> Tensor:
    """Gaussian mean without padding: [B, C, H, W] -> [B, C, H - 10, W - 10]."""
    weights, channels = _window(x), x.shape[1]
    vertical = weights.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1)
    horizontal = weights.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(x, vertical, groups=channels), horizontal, groups=channels)


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of every neighbourhood: [B, C, H, W] twice, in [0, 1] -> [B, C, H - 10, W - 10].

    In float32 at least, under autocast too: variances are small differences of large means.
    """
    with torch.autocast(a.device.type, enabled=False):
        return _ssim_map(precise(a), precise(b))


def _ssim_map(a: Tensor, b: Tensor) -> Tensor:
    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = _smooth(a), _smooth(b)
    var_a = _smooth(a * a) - mean_a**2
    var_b = _smooth(b * b) - mean_b**2
    covariance = _smooth(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (var_a + var_b + c2)


def ssim(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean SSIM of each image: [B, C, H, W] twice -> [B], at most 1; ``restored`` is clamped.

    Raises:
        InputError: pictures smaller than the 11 x 11 window, of unequal shapes, or integers.
    """
    return ssim_map(*_comparable(restored, sharp)).mean(dim=(1, 2, 3))


def weighted_ssim(restored: Tensor, sharp: Tensor, blur_mask: Tensor) -> Tensor:
    """Mean SSIM inside a mask [B, 1, H, W]: -> [B]; NaN where the mask is empty.

    Raises:
        InputError: as :func:`ssim`, or a mask of another shape.
    """
    pictures = _comparable(restored, sharp)
    mask = check_mask(blur_mask, pictures[1])
    return masked_mean(ssim_map(*pictures), mask[..., BORDER:-BORDER, BORDER:-BORDER])


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of [B, C, H, W] weighted by [B, 1, H, W]: -> [B]; NaN where all weights are 0."""
    total = weights.sum(dim=(1, 2, 3)) * values.shape[1]
    return (values * weights).sum(dim=(1, 2, 3)) / total


def _comparable(restored: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
    pictures = check_pictures(restored, sharp)
    if min(sharp.shape[-2:]) < WINDOW:
        raise InputError(
            f"SSIM compares pictures from {WINDOW} pixels a side, got {tuple(sharp.shape)}."
        )
    return pictures

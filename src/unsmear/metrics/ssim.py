"""Structural similarity (Wang et al. 2004) as an image of local values.

11 x 11 Gaussian window with sigma 1.5, population statistics, no padding: a picture loses 5 pixels
on each side, as the authors' training loss and the usual definition do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.errors import InputError

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
    """SSIM of every neighbourhood: [B, C, H, W] twice, in [0, 1] -> [B, C, H - 10, W - 10]."""
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
        InputError: pictures smaller than the 11 x 11 window, or of unequal shapes.
    """
    return ssim_map(*_comparable(restored, sharp)).mean(dim=(1, 2, 3))


def weighted_ssim(restored: Tensor, sharp: Tensor, blur_mask: Tensor) -> Tensor:
    """Mean SSIM inside a mask [B, 1, H, W]: -> [B]; NaN where the mask is empty."""
    local = ssim_map(*_comparable(restored, sharp))
    return masked_mean(local, blur_mask[..., BORDER:-BORDER, BORDER:-BORDER])


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of [B, C, H, W] weighted by [B, 1, H, W]: -> [B]; NaN where all weights are 0."""
    total = weights.sum(dim=(1, 2, 3)) * values.shape[1]
    return (values * weights).sum(dim=(1, 2, 3)) / total


def _comparable(restored: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
    if restored.shape != sharp.shape or min(restored.shape[-2:]) < WINDOW:
        raise InputError(
            f"SSIM compares pictures of equal size from {WINDOW} pixels a side, got "
            f"{tuple(restored.shape)} and {tuple(sharp.shape)}."
        )
    return restored.clamp(0, 1), sharp

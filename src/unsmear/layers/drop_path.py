"""Stochastic depth: a residual is left out for some of the images while training."""

from __future__ import annotations

import torch
from torch import Tensor


def drop_path_factor(images: int, rate: float, like: Tensor) -> Tensor:
    """One factor an image, 0 with probability ``rate`` and else 1 / (1 - rate): float [B]."""
    keep = torch.rand(images, device=like.device) >= rate
    return keep.to(like.dtype) / (1.0 - rate)

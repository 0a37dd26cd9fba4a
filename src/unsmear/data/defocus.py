"""Parts of a scene out of focus: soft without having moved, which a network must leave alone."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RADII = (1.0, 8.0)  # px of the blur disc
WHOLE_SHARE = 0.3  # of the scenes are out of focus everywhere
RAMP = (0.02, 0.3)  # of the frame's side, over which focus is lost


def defocus(scene: Tensor, rng: np.random.Generator) -> Tensor:
    """Put a part of a scene, or all of it, out of focus: linear light [3, H, W] -> the same.

    The part lies to one side of a line, as a background behind a ridge, and fades in across it.
    """
    radius = _drawn(rng, *RADII)
    soft = _blurred(scene, disc(radius).to(scene))
    if rng.random() < WHOLE_SHARE:
        return soft
    height, width = scene.shape[-2:]
    angle, place = rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 0.75)
    y = torch.linspace(0, 1, height, device=scene.device)[:, None]
    x = torch.linspace(0, 1, width, device=scene.device)[None]
    across = (x - place) * math.cos(angle) + (y - place) * math.sin(angle)
    share = torch.sigmoid(across * 4 / _drawn(rng, *RAMP))
    return torch.lerp(scene, soft, share)


def disc(radius: float) -> Tensor:
    """A disc with soft edges, the picture of a far light: [K, K], its sum 1."""
    reach = math.ceil(radius)
    side = torch.arange(-reach, reach + 1).float()
    distance = torch.hypot(side[:, None], side[None])
    kernel = (radius + 0.5 - distance).clamp(0, 1)
    return kernel / kernel.sum()


def _drawn(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is drawn evenly."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _blurred(scene: Tensor, kernel: Tensor) -> Tensor:
    reach = kernel.shape[0] // 2
    padded = F.pad(scene[:, None], (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(padded, kernel[None, None])[:, 0]

"""Pictures enlarged after they were taken, by a digital zoom or an editor: soft, but still."""

from __future__ import annotations

import math

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from unsmear.data.rendering import Exposure

MOST = 2.0  # times on either side
MODES = ("bilinear", "bicubic")


def side_before(size: int, rng: np.random.Generator) -> int:
    """Draw the side of a picture that becomes ``size`` pixels wide, at least half of it.

    The logarithm of the factor is drawn evenly.
    """
    return math.ceil(size / math.exp(rng.uniform(0, math.log(MOST))))


def enlarge(exposure: Exposure, size: int, rng: np.random.Generator) -> Exposure:
    """Enlarge an exposure to ``size`` x ``size`` pixels, its blur and what was swept with it."""
    mode = MODES[rng.integers(len(MODES))]

    def resized(light: Tensor) -> Tensor:
        light = F.interpolate(light[None], size=(size, size), mode=mode, align_corners=False)
        return light[0].clamp(min=0)  # bicubic weights go below 0

    swept = F.interpolate(exposure.swept[None, None].float(), size=(size, size))[0, 0]
    return Exposure(resized(exposure.blurred), resized(exposure.sharp), swept > 0)

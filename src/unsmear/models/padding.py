"""Padding of pictures to the sizes that a network can work on."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(image: Tensor, step: int) -> Tensor:
    """Pad [B, C, H, W] at the right and below to multiples of ``step``.

    Reflects the picture; where it is too small for that, repeats its edge.
    """
    h, w = image.shape[-2:]
    below, right = -h % step, -w % step
    mode = "reflect" if below < h and right < w else "replicate"
    return F.pad(image, (0, right, 0, below), mode=mode) if below or right else image

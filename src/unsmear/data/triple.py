"""The three pictures that make one training sample."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class BlurTriple(NamedTuple):
    """A locally blurred picture, its sharp twin and where they differ.

    Attributes:
        blurred: [3, H, W] float32, sRGB-encoded RGB in [0, 1].
        sharp: [3, H, W] float32, the middle instant of the exposure, RGB in [0, 1].
        blur_mask: [1, H, W] float32, 1 where motion visibly blurred the picture, else 0.
    """

    blurred: Tensor
    sharp: Tensor
    blur_mask: Tensor

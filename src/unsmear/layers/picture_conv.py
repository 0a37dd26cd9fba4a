"""The convolution at the end of networks that make a picture rather than a residual to one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PictureConv(nn.Conv2d):
    """A convolution whose result is float32 or wider, whatever it works on.

    Narrower types have fewer digits than a picture: bfloat16 knows 128 levels from 0.5 to 1.
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[B, C, H, W] -> [B, 3, H, W]."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        bias = None if self.bias is None else self.bias.to(dtype)
        return F.conv2d(x.to(dtype), self.weight.to(dtype), bias, padding=self.padding)

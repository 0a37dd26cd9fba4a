"""The same linear layer at every pixel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PixelLinear(nn.Conv1d):
    """A 1x1 convolution of sampled pixels that reads and writes each as one row of channels.

    Args:
        dim: C, channels in.
        out_dim: O, channels out.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__(dim, out_dim, 1)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, L] -> [B, O, L], in memory [B, L, O]."""
        return F.linear(input.transpose(1, 2), self.weight[..., 0], self.bias).transpose(1, 2)

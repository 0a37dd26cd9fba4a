"""Normalisations that stay in the number type of their input.

Under autocast torch would widen these to float32 and narrow the result again, which costs two
passes over memory for nothing: the kernels hold their statistics in float32 by themselves.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """``torch.nn.LayerNorm`` whose output has the type of its input."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last dimension of ``input``."""
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = self.weight, self.bias
            if input.device.type != "cpu":  # only the CPU takes float32 weights for 16-bit input
                weight, bias = weight.to(input.dtype), bias.to(input.dtype)
            return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


def softmax(logits: Tensor) -> Tensor:
    """Softmax over the last dimension in the type of ``logits``."""
    with torch.autocast(logits.device.type, enabled=False):
        return logits.softmax(dim=-1)

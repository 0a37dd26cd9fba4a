"""Layers whose weights lie as oneDNN's fast kernels want them, for the CPU and without gradients.

torch's own linear layer hands its weights over as they are; packed once, float32 products run more
than twice as fast and 16-bit ones by a quarter, and GELU or an addition happens on the way out.
torch offers this to its compiler alone, by private names: they are tried once, and where they are
missing, or give another result, the public layers compute.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_TOKENS = 4096  # a usual count, for which the layout is chosen; any count works
_ops: Any = torch.ops.mkldnn


class PackedLinear:
    """A linear layer, perhaps with GELU behind it.

    Args:
        weight: [out, in].
        bias: [out], or none.
        gelu: whether GELU follows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> None:
        self.bias, self.gelu = bias, gelu
        self.is_packed = weight.device.type == "cpu" and can_pack(weight.dtype)
        self.weight = _pack(weight) if self.is_packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        """Compute [N, in] -> [N, out]."""
        if self.is_packed:
            return _linear(x, self.weight, self.bias, "gelu" if self.gelu else "none")
        out = F.linear(x, self.weight, self.bias)
        return F.gelu(out) if self.gelu else out

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` [N, out] plus the result for ``x`` [N, in], without GELU."""
        if self.is_packed:
            return _ops._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
        return residual + F.linear(x, self.weight, self.bias)


class PackedDepthwise:
    """A depthwise 3x3 convolution without padding, and GELU.

    Args:
        taps: [3, 3, C].
        bias: [C].
    """

    def __init__(self, taps: Tensor, bias: Tensor) -> None:
        self.weight = taps.permute(2, 0, 1)[:, None].contiguous()
        self.bias = bias
        self.is_packed = taps.device.type == "cpu" and can_pack(taps.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute [K, h + 2, w + 2, C] -> [K, h, w, C]."""
        x = x.permute(0, 3, 1, 2)
        out = _depthwise(x, self.weight, self.bias) if self.is_packed else self._plain(x)
        return out.permute(0, 2, 3, 1)

    def _plain(self, x: Tensor) -> Tensor:
        return F.gelu(F.conv2d(x, self.weight, self.bias, groups=len(self.bias)))


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether the private operations are there and right for ``dtype``: tries each of them."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    x = torch.linspace(-1, 1, 64, dtype=dtype).reshape(4, 16)
    weight = torch.linspace(-1, 1, 256, dtype=dtype).reshape(16, 16)
    image, taps = (
        x.reshape(1, 4, 4, 4).permute(0, 3, 1, 2),
        weight[:4, None, 1:10].reshape(4, 1, 3, 3),
    )
    bias = weight[0]
    try:
        packed = _pack(weight)
        pairs = (
            (_linear(x, packed, bias, "gelu"), F.gelu(F.linear(x, weight, bias))),
            (_linear(x, packed, None, "none"), F.linear(x, weight)),
            (
                _ops._linear_pointwise.binary(x, x, packed, bias, "add"),
                x + F.linear(x, weight, bias),
            ),
            (
                _depthwise(image, taps, bias[:4]),
                F.gelu(F.conv2d(image, taps, bias[:4], groups=4)),
            ),
        )
    except (AttributeError, RuntimeError, TypeError):
        return False
    near = 1e-5 if dtype == torch.float32 else 0.1
    return all(torch.allclose(ours, public, atol=near, rtol=near) for ours, public in pairs)


def _pack(weight: Tensor) -> Tensor:
    return _ops._reorder_linear_weight(weight.contiguous(), _TOKENS)


def _linear(x: Tensor, packed: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    return _ops._linear_pointwise(x, packed, bias, activation, [], "none")


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    one, none = [1, 1], [0, 0]
    return _ops._convolution_pointwise(
        x, weight, bias, none, one, one, len(bias), "gelu", [], "none"
    )

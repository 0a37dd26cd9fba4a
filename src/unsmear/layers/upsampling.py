"""The decoder's way up: twice the size, beside the encoder's features of that size."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from unsmear.layers.chunks import chunk_length
from unsmear.layers.packed import PackedLinear
from unsmear.layers.remembered import Remembered

# A product is little work for a token: several cache-sized pieces at a time keep all cores busy.
PIECES = 4


class JoinedUpsampling(nn.ConvTranspose2d):
    """A transposed convolution, 2x2 of stride 2, and the skip connection behind its channels.

    As no two taps meet, it is one linear layer from a token to the four below it. Without gradients
    it is computed as that, in bands of rows: at the widest place of the network a whole upsampled
    map beside the joined one would be what decides how much memory a photo needs.

    Args:
        dim: channels in.
        narrower: channels out, those of the skip connection not counted.
    """

    def __init__(self, dim: int, narrower: int) -> None:
        super().__init__(dim, narrower, 2, stride=2)
        self._fast: Remembered[PackedLinear] = Remembered()

    def train(self, mode: bool = True) -> Self:
        """Set the mode, and have the fast form made anew."""
        self._fast.forget()
        return super().train(mode)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[B, h, w, dim] and [B, 2 h, 2 w, C] -> [B, 2 h, 2 w, narrower + C]."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            grown = super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            return torch.cat([grown, skip], dim=-1)
        with torch.autocast(x.device.type, enabled=False):
            return self._in_bands(x, skip)

    def _in_bands(self, x: Tensor, skip: Tensor) -> Tensor:
        b, h, w, dim = x.shape
        own, others = self.out_channels, skip.shape[-1]
        layer = self._fast.of(list(self.parameters()), x.dtype, lambda: self._packed(x.dtype))
        x, skip = x.reshape(b * h, w, dim), skip.reshape(b * h, 2, w, 2, others)
        joined = skip.new_empty(b * h, 2, w, 2, own + others)
        rows = max(1, PIECES * chunk_length(dim, x.device) // w)
        for top in range(0, b * h, rows):
            band = slice(top, top + rows)
            grown = layer(x[band].reshape(-1, dim)).view(-1, w, 2, 2, own)
            joined[band, ..., :own] = grown.transpose(1, 2)
            joined[band, ..., own:] = skip[band]
        return joined.view(b, 2 * h, 2 * w, own + others)

    def _packed(self, dtype: torch.dtype) -> PackedLinear:
        assert self.bias is not None, "made with one"
        weight = self.weight.permute(2, 3, 1, 0).reshape(-1, self.in_channels)  # [2 * 2 * out, in]
        return PackedLinear(weight.to(dtype).contiguous(), self.bias.repeat(4).to(dtype))

"""The content-aware processing module of SAPHN: a global and a local branch (section 3.2).

Shapes: B images, C channels, H x W pixels, L of them processed, h x w the uniform grid.
"""

from __future__ import annotations

from torch import Tensor, nn

from unsmear.layers.linear_attention import Activation, LinearAttention
from unsmear.layers.pixel_filter import PixelFilter
from unsmear.layers.pixel_linear import PixelLinear
from unsmear.layers.pixel_sampling import Selection


class ContentAware(nn.Module):
    """Attention over the whole picture and an adaptive filter, blended pixel by pixel.

    Args:
        dim: C.
        maps: attention maps of each attention.
        self_attention: attend to the map itself (SA).
        cross_attention: attend to an encoder's map too (CA); for decoders.
        masks: see :class:`LinearAttention`.
        activation: see :class:`LinearAttention`.
        kernels: see :class:`PixelFilter`.
        offsets: see :class:`PixelFilter`.
        max_offset: see :class:`PixelFilter`.
    """

    def __init__(
        self,
        dim: int,
        maps: int,
        *,
        self_attention: bool = True,
        cross_attention: bool = False,
        masks: bool = True,
        activation: Activation = "softmax",
        kernels: bool = True,
        offsets: bool = True,
        max_offset: float = 4.0,
    ) -> None:
        super().__init__()

        def attention(wanted: bool) -> LinearAttention | None:
            return LinearAttention(dim, maps, masks, activation) if wanted else None

        self.self_attention = attention(self_attention)
        self.cross_attention = attention(cross_attention)
        self.filter = PixelFilter(dim, kernels=kernels, offsets=offsets, max_offset=max_offset)
        self.fusion = PixelLinear(dim, 1) if self_attention or cross_attention else None

    def forward(
        self,
        x: Tensor,
        pixels: Tensor,
        uniform: Tensor,
        selection: Selection | None = None,
        encoder: Tensor | None = None,
    ) -> Tensor:
        """Process some pixels of a map (eqs. 19 and 20).

        Args:
            x: [B, C, H, W].
            pixels: X_nu, the pixels of ``x`` that ``selection`` names: [B, C, L].
            uniform: X_u, the map on the scale's uniform grid: [B, C, h, w].
            selection: where the L pixels lie; None: all of them, in order.
            encoder: what cross-attention attends to, [B, C, h, w]; without CA not looked at.

        Returns:
            Y_GL, [B, C, L]; without any attention the local branch alone.
        """
        local = self.filter(x, pixels, selection)
        if self.fusion is None:
            return local
        guide = uniform.flatten(2)
        found = local.new_zeros(())
        if self.self_attention is not None:
            found = found + self.self_attention(guide, guide, pixels)
        if self.cross_attention is not None:
            assert encoder is not None, "cross-attention needs the encoder's map"
            found = found + self.cross_attention(encoder.flatten(2), guide, pixels)
        share = self.fusion(pixels).sigmoid()  # M_fus, [B, 1, L]
        return local.lerp(found, share)

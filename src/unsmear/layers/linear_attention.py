"""Attention at a cost linear in pixels: the global branch of SAPHN (section 3.2.2, eqs. 10-16).

Shapes: B images, C channels, N pixels of the uniform grid X_u, L sampled pixels X_nu, K attention
maps (the paper's C2). No tensor is larger than a few times C x N or C x L.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.layers.pixel_linear import PixelLinear

Activation = Literal["softmax", "elu"]


class LinearAttention(nn.Module):
    """Collects K features of the whole picture and hands each pixel its own blend of them.

    Self-attention (SA): information, guide and pixels are one map. Cross-attention (CA) takes its
    information from an encoder and guide and pixels from the decoder; cross-level attention (CLA)
    its information from the lower stage and the others from the higher one.

    Args:
        dim: C.
        maps: K.
        masks: weigh the information by M_S, one number in (0, 1) a pixel, and the result by M_C,
            one a channel (eq. 16); without: eq. 15.
        activation: "softmax": Q sums to 1 over pixels, P over maps. "elu": both are elu + 1 and the
            blend is divided by the sum of its weights, as in linear transformers (an ablation).
    """

    def __init__(
        self, dim: int, maps: int, masks: bool = True, activation: Activation = "softmax"
    ) -> None:
        super().__init__()
        self.activation = activation
        self.collect = PixelLinear(dim, maps)  # f_q
        self.distribute = PixelLinear(dim, maps)  # f_p
        self.pixel_mask = PixelLinear(dim, 1) if masks else None
        self.channel_mask = PixelLinear(dim, dim) if masks else None

    def collecting_maps(self, guide: Tensor) -> Tensor:
        """Q, how much each pixel gives to each feature: [B, C, N] -> [B, K, N], not negative."""
        logits = self.collect(guide)
        return logits.softmax(dim=2) if self.activation == "softmax" else F.elu(logits) + 1

    def distributing_maps(self, pixels: Tensor) -> Tensor:
        """P, how much each pixel takes of each feature: [B, C, L] -> [B, K, L], not negative."""
        logits = self.distribute(pixels)
        return logits.softmax(dim=1) if self.activation == "softmax" else F.elu(logits) + 1

    def forward(self, information: Tensor, guide: Tensor, pixels: Tensor) -> Tensor:
        """Compute M_C * ([(M_S * X) Q^T] P), the products in this order (eq. 16).

        Args:
            information: X, what is collected: [B, C, N].
            guide: what Q is computed from: [B, C, N], on the grid of ``information``.
            pixels: what P is computed from: [B, C, L].

        Returns:
            Y_att, [B, C, L].
        """
        q, p = self.collecting_maps(guide), self.distributing_maps(pixels)
        source = information
        if self.pixel_mask is not None:
            source = source * self.pixel_mask(information).sigmoid()
        collected = source @ q.transpose(1, 2)  # [B, C, K], eqs. 10-12
        out = (p.transpose(1, 2) @ collected.transpose(1, 2)).transpose(1, 2)  # eqs. 13-15
        if self.activation == "elu":
            weight = q.sum(dim=2)[:, None] @ p  # [B, 1, L]
            out = out / weight.clamp(min=1e-6)
        if self.channel_mask is not None:
            out = out * self.channel_mask(information.mean(dim=2, keepdim=True)).sigmoid()
        return out

"""A window block's weights as its fast forms take them: folded together, computed once.

What depends on weights alone is worked out here instead of for every window: the affine part of a
norm, and the modulator behind it, move into the linear layer that follows; the logits' scale moves
into the queries' weights; position bias and seam masks become one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from unsmear.layers.adawpt import WindowBlock


class FoldedBlock(NamedTuple):
    """What one window block does to the T = M * M tokens x of a window, in fewer steps.

    With n() the normalisation without weights (mean 0, variance 1 over channels, see `eps`)::

        q, k, v = split(n(x) @ qkv_weight.T + qkv_bias)         # q is scaled already
        x = x + softmax(q @ k.T + logit_bias[kind]) @ v @ proj_weight.T + proj_bias   # each head
        h = gelu(n(x) @ expand_weight.T + expand_bias)
        h = gelu(sum of taps[dy, dx] * reflected h, + taps_bias)                      # depthwise
        x = x + h @ reduce_weight.T + reduce_bias

    Attributes:
        heads: attention heads; channels d * C / heads and so on belong to head d.
        eps: added to the variance.
        qkv_weight: [3 C, C].
        qkv_bias: [T, 3 C], for each place in the window, or [1, 3 C] where places do not matter.
        logit_bias: [kinds, heads, T, T]; kinds as in `WindowGrid.seam_kind`, 1 without a shift.
        proj_weight: [C, C].
        proj_bias: [C].
        expand_weight: [r C, C].
        expand_bias: [r C].
        taps: depthwise 3x3, [3, 3, r C].
        taps_bias: [r C].
        reduce_weight: [C, r C].
        reduce_bias: [C].
    """

    heads: int
    eps: float
    qkv_weight: Tensor
    qkv_bias: Tensor
    logit_bias: Tensor
    proj_weight: Tensor
    proj_bias: Tensor
    expand_weight: Tensor
    expand_bias: Tensor
    taps: Tensor
    taps_bias: Tensor
    reduce_weight: Tensor
    reduce_bias: Tensor


@torch.no_grad()
def fold_block(block: WindowBlock, dtype: torch.dtype | None = None) -> FoldedBlock:
    """Fold a block's weights in float32 at least; they get ``dtype``, by default their own."""
    attention, feed = block.attention, block.feed_forward
    dtype = dtype or attention.proj.weight.dtype
    wide = torch.promote_types(dtype, torch.float32)
    to_qkv = torch.cat([attention.to_q.weight, attention.to_kv.weight]).to(wide)
    qkv_bias = torch.cat([attention.to_q.bias, attention.to_kv.bias]).to(wide)
    scale = torch.ones_like(qkv_bias)
    scale[: len(attention.to_q.bias)] = attention.scale
    to_qkv, qkv_bias = to_qkv * scale[:, None], qkv_bias * scale
    offset = block.norm1.bias.to(wide)[None]
    if block.modulator is not None:
        offset = offset + block.modulator.to(wide)
    logit_bias = attention.position_bias().to(wide)[None]
    if block.shift:
        logit_bias = logit_bias + block.seams.to(wide)[:, None]
    expand = feed.expand.weight.to(wide)
    folded = {
        "qkv_weight": to_qkv * block.norm1.weight.to(wide),
        "qkv_bias": offset @ to_qkv.T + qkv_bias,
        "logit_bias": logit_bias,
        "proj_weight": attention.proj.weight,
        "proj_bias": attention.proj.bias,
        "expand_weight": expand * block.norm2.weight.to(wide),
        "expand_bias": expand @ block.norm2.bias.to(wide) + feed.expand.bias.to(wide),
        "taps": feed.depthwise.weight[:, 0].permute(1, 2, 0),
        "taps_bias": feed.depthwise.bias,
        "reduce_weight": feed.reduce.weight,
        "reduce_bias": feed.reduce.bias,
    }
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in folded.items()}
    return FoldedBlock(attention.num_heads, block.norm1.eps, **tensors)

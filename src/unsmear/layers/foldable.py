"""Whether the fast forms may stand for a layer: they know its weights, and nothing else of it."""

from __future__ import annotations

from torch import nn

from unsmear.layers.attention import WindowAttention
from unsmear.layers.feed_forward import LocallyEnhancedFeedForward
from unsmear.layers.norm import LayerNorm
from unsmear.layers.ordinary import is_ordinary

# What blocks and predictors are made of.
KINDS = (
    nn.Sequential,
    nn.Linear,
    nn.Conv2d,
    nn.GELU,
    LayerNorm,
    WindowAttention,
    LocallyEnhancedFeedForward,
)


def is_foldable(module: nn.Module) -> bool:
    """Whether a block's or predictor's parts compute what their weights say, and only that.

    Not so once a part is replaced or wrapped (LoRA, quantization), has no bias or another eps, or
    has hooks: then the plain form computes, which calls every part.
    """
    parts = [part for part in module.modules() if part is not module]
    eps = {part.eps for part in parts if isinstance(part, LayerNorm)}
    return len(eps) == 1 and all(is_ordinary(part, *KINDS) for part in parts)

"""Whether a layer is still the one that was built, so that its weights say all that it computes."""

from __future__ import annotations

from torch import nn


def is_ordinary(layer: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether it is of one of these kinds exactly, with a bias where they have one, and no hooks.

    An adapter or a parametrization around it, or its quantized form, is of a kind of its own.
    """
    hooked = layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer)
    return type(layer) in kinds and not hooked and getattr(layer, "bias", layer) is not None

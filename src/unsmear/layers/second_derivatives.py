"""Gradients that can be differentiated again, of layers whose usual gradients are compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiable_gradients(
    plain: Callable[..., Tensor], inputs: Sequence[Tensor], slope: Tensor
) -> tuple[Tensor | None, ...]:
    """What a backward pass gives when it is itself recorded (``create_graph=True``).

    A compiled one would be taken for a constant, and second derivatives be wrong without a word.

    Args:
        plain: computes with torch what the layer does.
        inputs: its arguments.
        slope: gradient of its output.

    Returns:
        The gradient of each input, None for those that need none.
    """
    wanted = [each for each in inputs if each.requires_grad]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(plain(*inputs), wanted, slope, create_graph=True))
    return tuple(next(found) if each.requires_grad else None for each in inputs)

"""What the metrics compare: checked, clamped as a file would, and precise enough."""

from __future__ import annotations

import torch
from torch import Tensor

from unsmear.errors import InputError


def precise(x: Tensor) -> Tensor:
    """In float32 at least: squares and sums of 16-bit numbers lose what is to be measured."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def check_pictures(restored: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches to compare, [B, C, H, W] in [0, 1]; ``restored`` is clamped.

    Raises:
        InputError: other or unequal shapes, or integers.
    """
    if restored.shape != sharp.shape or restored.ndim != 4:
        raise InputError(
            "Metrics compare pictures of equal size, (B, C, H, W), got "
            f"{tuple(restored.shape)} and {tuple(sharp.shape)}."
        )
    if not (restored.is_floating_point() and sharp.is_floating_point()):
        raise InputError(
            f"Metrics compare floats in [0, 1], got {restored.dtype} and {sharp.dtype}; divide by "
            "255."
        )
    return precise(restored).clamp(0, 1), precise(sharp)


def check_mask(blur_mask: Tensor, pictures: Tensor) -> Tensor:
    """A blur mask [B, 1, H, W] for pictures [B, C, H, W], of any type.

    Raises:
        InputError: another shape.
    """
    wanted = (len(pictures), 1, *pictures.shape[-2:])
    if tuple(blur_mask.shape) != wanted:
        raise InputError(
            f"The blur mask has shape {tuple(blur_mask.shape)}, these pictures need {wanted}."
        )
    return blur_mask.to(pictures)

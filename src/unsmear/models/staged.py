"""The border of networks that restore in stages: what they take and what they return."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from unsmear.errors import InputError


class Staged(NamedTuple):
    """A restored batch and the pictures on the way to it.

    Attributes:
        restored: [B, 3, H, W], RGB, meant for [0, 1] but not clamped.
        stages: the picture after each earlier stage, first stage first, in the size that the
            stage works in: [B, 3, H / s, W / s], rounded up.
    """

    restored: Tensor
    stages: tuple[Tensor, ...]


def check_pictures(blurred: Tensor) -> None:
    """Refuse what is no batch of pictures.

    Raises:
        InputError: not [B, 3, H, W] with every side from 1, or not floats.
    """
    if blurred.ndim != 4 or blurred.shape[1] != 3 or min(blurred.shape) < 1:
        raise InputError(
            f"A batch of RGB pictures has shape (B, 3, H, W), got {tuple(blurred.shape)}."
        )
    if not blurred.is_floating_point():
        raise InputError(f"Pictures are floats in [0, 1], got {blurred.dtype}; divide by 255.")

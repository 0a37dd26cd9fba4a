"""The border of networks that restore in stages: what they take and what they return."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unsmear.errors import InputError
from unsmear.layers.pixel_sampling import check_budget


class SampledPixels(NamedTuple):
    """What the sampler of one stage and scale decided, for the whole picture.

    Attributes:
        stage: from 2; the bottom stage is 1 and samples nothing.
        ratio: r: L is H * W / r^2 within the plain budget.
        logits: [B, 1, H, W], pi; its sigmoid is the probability of being sampled.
        drawn: [B, 1, H, W], 1 where a pixel was sampled, 0 elsewhere.
        share: share of (the padded picture's) pixels that the budget pays for.
    """

    stage: int
    ratio: int
    logits: Tensor
    drawn: Tensor
    share: float


class Staged(NamedTuple):
    """A restored batch and the pictures on the way to it.

    Attributes:
        restored: [B, 3, H, W], RGB, meant for [0, 1] but not clamped.
        stages: the picture after each earlier stage, first stage first, in the size that the
            stage works in: [B, 3, H / s, W / s], rounded up.
        sampling: decisions of every stage but the first at r = 2 and 4, in this order, in the size
            of their stage; empty without sampling.
    """

    restored: Tensor
    stages: tuple[Tensor, ...]
    sampling: tuple[SampledPixels, ...] = ()

    @property
    def supervised(self) -> tuple[Tensor, ...]:
        """Pictures that training compares with the sharp one, the last of them ``restored``."""
        return (*self.stages, self.restored)

    @property
    def blur_map(self) -> Tensor:
        """[B, 1, H, W] in [0, 1]: how surely the last stage samples a pixel at r = 2; or ones."""
        finest = [one for one in self.sampling if one.ratio == 2][-1:]
        if not finest:
            return torch.ones_like(self.restored[:, :1])
        return finest[0].logits.sigmoid().to(self.restored.dtype)


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


def check_spending(budget: float, *, sampling: bool) -> None:
    """Refuse a budget that cannot be, or any change of it where nothing is sampled.

    Raises:
        InputError: a budget outside [-0.5, 1], or not 0 for a network without sampling.
    """
    check_budget(budget)
    if budget and not sampling:
        raise InputError(
            f"This network processes every picture uniformly and has no budget to change "
            f"(got {budget}); choose one with sampling."
        )

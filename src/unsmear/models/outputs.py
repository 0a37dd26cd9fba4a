"""What a deblurring network returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Restored(NamedTuple):
    """A restored batch and how it came about.

    Attributes:
        restored: [B, 3, H, W], RGB, meant for [0, 1] but not clamped.
        gate: [B, 1, H, W] in [0.1, 1], the share of the residual that was added.
        scores: one [B, h, w, 2] a predictor, in network order: keep and prune scores of every
            token of its stage. h and w belong to the padded picture (see ``LMDViT.size_step``).
        keep: one float 0/1 [B, 1, h/M, w/M] a predictor: the windows it kept. Predictors with a
            shift (every second one of a stage) decide on the rolled map.
        blur_map: [B, 1, H, W] in [0, 1], confidence that a pixel is blurred: what a person
            would look at.
        means: one [B, C/2] a predictor: what it took as the picture's mean features. Given back
            to the network, they make it judge a part of the picture as it judged the whole.
    """

    restored: Tensor
    gate: Tensor
    scores: tuple[Tensor, ...]
    keep: tuple[Tensor, ...]
    blur_map: Tensor
    means: tuple[Tensor, ...]

    @property
    def supervised(self) -> tuple[Tensor, ...]:
        """Pictures that training compares with the sharp one, the last of them ``restored``."""
        return (self.restored,)

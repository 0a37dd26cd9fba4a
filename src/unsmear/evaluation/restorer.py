"""What can be evaluated: anything that turns a blurred picture into a restored one."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from unsmear.evaluation.settings import Setting
from unsmear.metrics import kept_pixels


class Decision(NamedTuple):
    """What one predictor of a network decided about one picture.

    Attributes:
        stage: 1 to 9.
        shift: of its windows, in tokens of the stage.
        scale: pixels of the picture in a token, a side.
        window_size: tokens in a window, a side.
        keep: [1, 1, h, w] 0/1 in the rolled frame of its block.
    """

    stage: int
    shift: int
    scale: int
    window_size: int
    keep: Tensor

    @property
    def side(self) -> int:
        """Pixels in a window's side."""
        return self.window_size * self.scale

    @property
    def kept(self) -> float:
        """Share of the windows that it kept."""
        return float(self.keep.mean())

    def pixels(self, height: int, width: int) -> Tensor:
        """Pixels of the kept windows: bool [1, 1, height, width]."""
        return kept_pixels(self.keep, self.side, self.shift * self.scale, height, width)


class Answer(NamedTuple):
    """A restored picture, and how it came about.

    Attributes:
        restored: [1, 3, H, W] float32, not clamped.
        multiply_adds_dense: what the picture takes with every window computed.
        multiply_adds_spent: what it took.
        decisions: of each predictor, in network order; empty for a restorer without any.
        last_kept: bool [1, 1, H, W], pixels of the regions that the last pruned stage kept;
            None for a restorer without predictors.
    """

    restored: Tensor
    multiply_adds_dense: int
    multiply_adds_spent: int
    decisions: tuple[Decision, ...] = ()
    last_kept: Tensor | None = None


class Restorer(Protocol):
    """A network of ours, or a rival.

    Attributes:
        name: what tables call it.
        parameters: how many.
        device: where it computes.
        dtype: in which type.
        setting: how a network of ours runs; None for a rival.
    """

    name: str
    parameters: int
    device: torch.device
    dtype: torch.dtype
    setting: Setting | None

    def __call__(self, blurred: Tensor) -> Answer:
        """Restore one picture [1, 3, H, W], float32 RGB in [0, 1] on the CPU."""
        ...

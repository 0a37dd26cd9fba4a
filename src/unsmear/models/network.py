"""What the engine, evaluation and training ask of any network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn


class DeblurringNetwork(nn.Module):
    """A network from blurred to restored pictures.

    ``forward`` takes [B, 3, H, W] float RGB in [0, 1] of any size from 1 x 1, and returns a named
    tuple with at least ``restored`` [B, 3, H, W] and ``blur_map`` [B, 1, H, W] in [0, 1]: where the
    network thinks that something is blurred, 1 where it does not judge.

    Attributes:
        config: a frozen dataclass that :mod:`unsmear.models.registry` knows; it alone builds the
            network.
    """

    config: Any

    @property
    def size_step(self) -> int:
        """Sides are padded to multiples of this many pixels."""
        raise NotImplementedError

    @property
    def surroundings(self) -> int:
        """Pixels around a tile that the network is shown beside it."""
        return 128

    @property
    def milestones(self) -> Sequence[nn.Module]:
        """Modules that run one after the other, each once; progress is told by them."""
        return ()

    @property
    def features_per_pixel(self) -> int:
        """Numbers that exist at the peak for each pixel of a picture, gradients off."""
        raise NotImplementedError

    @property
    def predictor_places(self) -> tuple[tuple[int, int], ...]:
        """Of each predictor that prunes windows: its stage and the shift of its windows."""
        return ()

    @property
    def takes_budget(self) -> bool:
        """Whether ``forward`` has a ``budget``: how many more pixels to work on than planned."""
        return False

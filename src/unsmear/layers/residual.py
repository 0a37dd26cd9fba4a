"""The residual block of the convolutional networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.layers.pixel_sampling import Selection, gather_pixels, put_back
from unsmear.layers.sampled_scales import convolve_pixels


class ResidualBlock(nn.Sequential):
    """Convolution, ReLU, convolution, added to the input, on all or some pixels of a map.

    Where only some pixels are worked on, the first convolution sees all their neighbours. The
    second sees those that were worked on, too, and 0 for the others, as outside of the map: what
    a tap reads is the first one's output or nothing, however the pixels lie.

    Args:
        dim: channels in and out.
        kernel_size: side of both kernels; odd.
    """

    def __init__(self, dim: int, kernel_size: int = 3) -> None:
        super().__init__(
            nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2),
        )

    def forward(self, input: Tensor, selection: Selection | None = None) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]; pixels outside the selection stay as they are."""
        if selection is None:
            return input + super().forward(input)
        first, last = cast("nn.Conv2d", self[0]), cast("nn.Conv2d", self[2])
        hidden = F.relu(convolve_pixels(first, input, selection))
        nothing = input.new_zeros(()).expand_as(input)
        found = convolve_pixels(last, put_back(hidden, nothing, selection), selection)
        return put_back(gather_pixels(input, selection) + found, input, selection)


def run_blocks(
    blocks: Iterable[nn.Module], x: Tensor, selection: Selection | None = None
) -> Tensor:
    """Run residual blocks one after the other, all on the same pixels."""
    for block in blocks:
        x = block(x, selection)
    return x

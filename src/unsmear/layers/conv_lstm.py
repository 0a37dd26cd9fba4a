"""A convolutional long short-term memory cell."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from unsmear.layers.pixel_sampling import Selection, gather_pixels, put_back
from unsmear.layers.sampled_scales import convolve_pixels


class Memory(NamedTuple):
    """What a cell carries from one step to the next.

    Attributes:
        hidden: [B, C, H, W] in (-1, 1), the last output.
        cell: [B, C, H, W], what is remembered.
    """

    hidden: Tensor
    cell: Tensor


class ConvLSTM(nn.Module):
    """LSTM whose gates are one convolution over the input and the last output.

    Args:
        dim: channels of the input, the output and the memory.
        kernel_size: side of the kernel; odd.
    """

    def __init__(self, dim: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.dim = dim
        self.gates = nn.Conv2d(2 * dim, 4 * dim, kernel_size, padding=kernel_size // 2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin by remembering: small weights, and a forget gate that is mostly open."""
        nn.init.normal_(self.gates.weight, std=1e-3)
        bias = cast("Tensor", self.gates.bias)
        nn.init.zeros_(bias)
        nn.init.ones_(bias[self.dim : 2 * self.dim])

    def forward(
        self, x: Tensor, memory: Memory | None = None, selection: Selection | None = None
    ) -> tuple[Tensor, Memory]:
        """One step.

        Args:
            x: [B, C, H, W].
            memory: of the step before, of the same size; None at the first step (all zero).
            selection: the pixels to renew; the others keep what they remember, and hand it on.
                None: all.

        Returns:
            The output [B, C, H, W] in (-1, 1), and the memory for the next step.
        """
        if memory is None:
            memory = Memory(torch.zeros_like(x), torch.zeros_like(x))
        seen, before = torch.cat([x, memory.hidden], dim=1), memory.cell
        if selection is None:
            gates = self.gates(seen)
        else:
            gates = convolve_pixels(self.gates, seen, selection)
            before = gather_pixels(before, selection)
        take, keep, show, new = gates.chunk(4, dim=1)
        cell = keep.sigmoid() * before + take.sigmoid() * new.tanh()
        hidden = show.sigmoid() * cell.tanh()
        if selection is not None:
            cell = put_back(cell, memory.cell, selection)
            hidden = put_back(hidden, memory.hidden, selection)
        return hidden, Memory(hidden, cell)

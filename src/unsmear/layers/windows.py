"""Window partition, shift and their inverses, whole or for kept windows (LMD-ViT section 3.2).

Shapes: B images, H x W tokens, C channels, windows of M x M tokens, N = H/M * W/M windows an image,
K kept windows. A shifted partition is that of the map rolled by ``-shift`` in both directions, so
its last row and column hold windows that join opposite edges of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SEPARATED = -100.0  # added to the logits of two tokens that only the roll made neighbours


def partition_windows(x: Tensor, window_size: int, shift: int = 0) -> Tensor:
    """Cut a map into windows: [B, H, W, C] -> [B * N, M * M, C]; H and W are multiples of M."""
    if shift:
        x = torch.roll(x, shifts=(-shift, -shift), dims=(1, 2))
    b, h, w, c = x.shape
    m = window_size
    x = x.reshape(b, h // m, m, w // m, m, c).transpose(2, 3)
    return x.reshape(-1, m * m, c)


def merge_windows(windows: Tensor, height: int, width: int, shift: int = 0) -> Tensor:
    """Undo :func:`partition_windows`: [B * N, M * M, C] -> [B, H, W, C]."""
    m = round(windows.shape[1] ** 0.5)
    c = windows.shape[-1]
    x = windows.reshape(-1, height // m, width // m, m, m, c).transpose(2, 3)
    x = x.reshape(-1, height, width, c)
    return torch.roll(x, shifts=(shift, shift), dims=(1, 2)) if shift else x


@dataclass(frozen=True)
class WindowGrid:
    """The windows of one (shifted) partition, by number, for gathering some of them.

    Window ``n`` is number ``n % N`` of image ``n // N``, counted row by row in the rolled frame.
    """

    height: int
    width: int
    window_size: int
    shift: int = 0

    @property
    def rows(self) -> int:
        """Windows from top to bottom."""
        return self.height // self.window_size

    @property
    def columns(self) -> int:
        """Windows from left to right."""
        return self.width // self.window_size

    @property
    def windows(self) -> int:
        """Windows in one image (N)."""
        return self.rows * self.columns

    def _place(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inside = numbers % self.windows
        return numbers // self.windows, inside // self.columns, inside % self.columns

    def token_index(self, numbers: Tensor) -> Tensor:
        """Where the tokens of some windows lie: [K] int64 -> [K, M * M] into flat [B * H * W]."""
        image, row, column = self._place(numbers)
        side = torch.arange(self.window_size, device=numbers.device)
        y = (row[:, None] * self.window_size + self.shift + side) % self.height
        x = (column[:, None] * self.window_size + self.shift + side) % self.width
        index = (image[:, None] * self.height + y)[:, :, None] * self.width + x[:, None, :]
        return index.flatten(1)

    def seam_kind(self, numbers: Tensor) -> Tensor:
        """Which row of :func:`seam_masks` each window takes: [K] int64 in 0..3."""
        _, row, column = self._place(numbers)
        return 2 * (row == self.rows - 1).long() + (column == self.columns - 1).long()


def seam_masks(window_size: int, shift: int) -> Tensor:
    """Attention masks of a shifted partition: [4, M * M, M * M], 0 or :data:`SEPARATED`.

    Row 0 is for windows inside the picture (no seam), 1 for the last column (a vertical seam), 2
    for the last row, 3 for the corner. Only these four exist, however large the picture.
    """
    beyond = torch.arange(window_size) >= window_size - shift
    masks = []
    for seam_below in (False, True):
        for seam_right in (False, True):
            region = 2 * (beyond & seam_below)[:, None].long() + (beyond & seam_right).long()
            flat = region.flatten()
            masks.append((flat[:, None] != flat[None, :]) * SEPARATED)
    return torch.stack(masks)

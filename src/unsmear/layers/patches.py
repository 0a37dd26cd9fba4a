"""A picture cut into a grid of equal patches, and put together again."""

from __future__ import annotations

from torch import Tensor


def split_patches(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut [B, C, H, W] into [B * rows * columns, C, H / rows, W / columns].

    The patches of one image follow each other row by row; H and W are multiples of the grid.
    """
    b, c, h, w = x.shape
    grid = x.reshape(b, c, rows, h // rows, columns, w // columns)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, c, h // rows, w // columns)


def join_patches(patches: Tensor, rows: int, columns: int) -> Tensor:
    """Undo :func:`split_patches`; the patches may have changed size and channels together."""
    _, c, h, w = patches.shape
    grid = patches.reshape(-1, rows, columns, c, h, w)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, c, rows * h, columns * w)

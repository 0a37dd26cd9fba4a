"""Weighted sums of a few rows of a matrix: how a map is read between its pixels.

Shapes: N rows of C numbers, M sums of k rows each.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def sum_rows(rows: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """Sum over i of share[m, i] * rows[index[m, i]]. No product is held for itself.

    Args:
        rows: [N, C], float32 or float64.
        index: [M, k] int32 or int64, in [0, N).
        share: [M, k], of the type of ``rows``.

    Returns:
        [M, C].
    """
    sums = F.embedding_bag(index, rows.detach(), mode="sum", per_sample_weights=share)
    return _RowGradient.apply(sums, rows, index, share.detach())


class _RowGradient(torch.autograd.Function):
    """Nothing on the way there; on the way back the gradient of the rows, which torch is slow at.

    It is the transposed sum. With the entries of ``index`` sorted, those of one row stand together,
    so that the same fast routine computes it.
    """

    @staticmethod
    def forward(ctx: Any, sums: Tensor, rows: Tensor, index: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(index, share)
        ctx.count = len(rows)
        return sums.view_as(sums)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, Tensor | None, None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "Pixel-dependent filters have no second derivatives; leave create_graph=True out."
            )
        if not ctx.needs_input_grad[1]:
            return grad, None, None, None
        index, share = ctx.saved_tensors
        order = index.flatten().argsort(stable=True)  # stable: a linear-time sort on the CPU
        ends = torch.bincount(index.flatten(), minlength=ctx.count).cumsum(0)
        starts = F.pad(ends[:-1], (1, 0))
        weights = share.flatten()[order]
        sources = order // index.shape[1]
        spread = F.embedding_bag(
            sources, grad.contiguous(), starts, mode="sum", per_sample_weights=weights
        )
        return grad, spread, None, None

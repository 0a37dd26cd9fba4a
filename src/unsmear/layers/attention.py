"""Multi-head self-attention inside windows with relative position bias (LMD-ViT W-MSA)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unsmear import native
from unsmear.layers.norm import softmax
from unsmear.layers.second_derivatives import differentiable_gradients


def relative_position_index(window_size: int) -> Tensor:
    """Row of the bias table for each pair of tokens: int64 [M * M, M * M] in [0, (2M - 1)^2)."""
    side = torch.arange(window_size)
    y, x = (grid.flatten() for grid in torch.meshgrid(side, side, indexing="ij"))
    dy = y[:, None] - y[None, :] + window_size - 1
    dx = x[:, None] - x[None, :] + window_size - 1
    return dy * (2 * window_size - 1) + dx


class WindowAttention(nn.Module):
    """W-MSA: every token of a window attends to the window's M * M tokens.

    Args:
        dim: channels, a multiple of ``num_heads``.
        num_heads: attention heads; logits are scaled by (dim / num_heads)^-0.5.
        window_size: M.
    """

    bias_index: Tensor

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.bias_table = nn.Parameter(torch.zeros((2 * window_size - 1) ** 2, num_heads))
        nn.init.normal_(self.bias_table, std=0.02)
        index = relative_position_index(window_size)
        self.register_buffer("bias_index", index, persistent=False)

    def position_bias(self) -> Tensor:
        """Bias of each head for each pair of tokens: [heads, M * M, M * M]."""
        tokens = self.bias_index.shape[0]
        bias = self.bias_table[self.bias_index.flatten()]
        return bias.reshape(tokens, tokens, self.num_heads).permute(2, 0, 1)

    def forward(
        self, x: Tensor, seams: Tensor | None = None, kinds: Tensor | None = None
    ) -> Tensor:
        """Attend: [K, M * M, C] -> the same.

        Where a window lies across a seam, ``seams`` [4, M * M, M * M] is added to its logits, in
        the row that ``kinds`` [K] int64 names.
        """
        q, kv, bias = self.to_q(x), self.to_kv(x), self.position_bias()
        core = _Attend.apply if _can_attend(q, self.num_heads) else attend
        return self.proj(core(q, kv, bias, self.scale, seams, kinds))


def attend(
    q: Tensor, kv: Tensor, bias: Tensor, scale: float, seams: Tensor | None, kinds: Tensor | None
) -> Tensor:
    """Attention between the linear layers: q [K, T, C], kv [K, T, 2 C], bias [heads, T, T]."""
    k, tokens, c = q.shape
    heads = len(bias)
    q = q.reshape(k, tokens, heads, c // heads).transpose(1, 2) * scale
    kv = kv.reshape(k, tokens, 2, heads, c // heads)
    keys, values = kv.permute(2, 0, 3, 1, 4).unbind(0)
    # Explicit products: for 64 tokens they beat the fused attention kernel on the CPU.
    logits = q @ keys.transpose(-2, -1) + bias.to(q.dtype)
    if seams is not None:
        logits = logits + seams[kinds][:, None].to(logits.dtype)
    mixed = softmax(logits) @ values
    return mixed.transpose(1, 2).reshape(k, tokens, c)


def _can_attend(q: Tensor, heads: int) -> bool:
    """Whether gradients are asked for and the compiled kernel takes these queries."""
    wanted = q.requires_grad and not torch.compiler.is_compiling()
    return wanted and native.AttentionCore.fits(q, heads)


class _Attend(torch.autograd.Function):
    """:func:`attend`, compiled, and computed again on the way back.

    Training writes neither logits nor weights, which are larger than all that it must keep.
    """

    @staticmethod
    def forward(
        q: Tensor,
        kv: Tensor,
        bias: Tensor,
        scale: float,
        seams: Tensor | None,
        kinds: Tensor | None,
    ) -> Tensor:
        return native.AttentionCore(q, kv, scale, bias, seams, kinds).run()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        q, kv, bias, ctx.scale, seams, kinds = inputs
        ctx.save_for_backward(q, kv, bias, seams, kinds)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        q, kv, bias, seams, kinds = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = partial(attend, scale=ctx.scale, seams=seams, kinds=kinds)
            return *differentiable_gradients(plain, (q, kv, bias), grads[0]), None, None, None
        core = native.AttentionCore(q, kv, ctx.scale, bias, seams, kinds)
        q_slope, kv_slope, bias_slope = core.gradients(grads[0])
        return q_slope, kv_slope, bias_slope.to(bias.dtype), None, None, None

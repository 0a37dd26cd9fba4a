"""Multi-head self-attention inside windows with relative position bias (LMD-ViT W-MSA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unsmear.layers.norm import softmax


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
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        index = relative_position_index(window_size)
        self.register_buffer("bias_index", index, persistent=False)

    def position_bias(self) -> Tensor:
        """Bias of each head for each pair of tokens: [heads, M * M, M * M]."""
        tokens = self.bias_index.shape[0]
        bias = self.bias_table[self.bias_index.flatten()]
        return bias.reshape(tokens, tokens, self.num_heads).permute(2, 0, 1)

    def forward(self, x: Tensor, seams: Tensor | None = None) -> Tensor:
        """Attend: [K, M * M, C] -> the same; ``seams`` [K, M * M, M * M] is added to the logits."""
        k, tokens, c = x.shape
        head_dim = c // self.num_heads
        q = self.to_q(x).reshape(k, tokens, self.num_heads, head_dim).transpose(1, 2) * self.scale
        kv = self.to_kv(x).reshape(k, tokens, 2, self.num_heads, head_dim)
        keys, values = kv.permute(2, 0, 3, 1, 4).unbind(0)
        # Explicit products: for 64 tokens they beat the fused attention kernel on the CPU.
        logits = q @ keys.transpose(-2, -1) + self.position_bias().to(q.dtype)
        if seams is not None:
            logits = logits + seams[:, None].to(logits.dtype)
        mixed = softmax(logits) @ values
        return self.proj(mixed.transpose(1, 2).reshape(k, tokens, c))

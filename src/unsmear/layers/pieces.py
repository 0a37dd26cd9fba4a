"""A window block on kept windows in cache-sized pieces: its fast form in torch alone."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.layers.chunks import chunk_length
from unsmear.layers.folded import FoldedBlock
from unsmear.layers.packed import PackedDepthwise, PackedLinear
from unsmear.layers.windows import WindowGrid


class BlockInPieces:
    """Computes one window block in place.

    Args:
        folded: the block's weights; without feed-forward weights only its attention is computed.
    """

    def __init__(self, folded: FoldedBlock) -> None:
        self.folded = folded
        per_place = len(folded.qkv_bias) > 1
        self.to_qkv = PackedLinear(folded.qkv_weight, None if per_place else folded.qkv_bias[0])
        self.place_bias = folded.qkv_bias if per_place else None
        self.proj = PackedLinear(folded.proj_weight, folded.proj_bias)
        self.expand = PackedLinear(folded.expand_weight, folded.expand_bias, gelu=True)
        self.depthwise = PackedDepthwise(folded.taps, folded.taps_bias)
        self.reduce = PackedLinear(folded.reduce_weight, folded.reduce_bias)

    def run(self, flat: Tensor, grid: WindowGrid, numbers: Tensor, *, feed: bool = True) -> None:
        """Compute some windows of a map.

        Args:
            flat: [B * H * W, C] contiguous, overwritten where the windows are.
            grid: the block's partition.
            numbers: [K] int64, the windows.
            feed: whether W-LeFF follows the attention.
        """
        c = flat.shape[1]
        size = max(1, chunk_length(c, flat.device) // grid.window_size**2)
        for some in numbers.split(size):
            index = grid.token_index(some).flatten()
            tokens = self._attend(flat.index_select(0, index), grid.seam_kind(some))
            if feed:
                tokens = self._feed(tokens, grid.window_size)
            flat.index_copy_(0, index, tokens)

    def _attend(self, tokens: Tensor, kinds: Tensor) -> Tensor:
        """Norm, W-MSA and residual: [K * T, C] -> the same; kinds [K] as in the grid."""
        heads, c = self.folded.heads, tokens.shape[1]
        k = len(kinds)
        qkv = self.to_qkv(F.layer_norm(tokens, (c,), eps=self.folded.eps))
        qkv = _by_head(qkv.reshape(k, -1, 3 * c), heads)
        if self.place_bias is None:
            qkv = qkv.contiguous()
        else:
            qkv = torch.add(qkv, _by_head(self.place_bias[None], heads), out=_like(qkv))
        queries, keys, values = qkv.flatten(1, 2)  # each [K * heads, T, C / heads]
        table = self.folded.logit_bias
        logits = table.index_select(0, kinds) if len(table) > 1 else table.repeat(k, 1, 1, 1)
        logits = logits.flatten(0, 1).baddbmm_(queries, keys.transpose(1, 2))
        mixed = logits.softmax(dim=-1) @ values
        mixed = mixed.reshape(k, heads, -1, c // heads).transpose(1, 2).reshape(-1, c)
        return self.proj.added_to(tokens, mixed)

    def _feed(self, tokens: Tensor, side: int) -> Tensor:
        """Norm, W-LeFF and residual: [K * T, C] -> the same."""
        hidden = self.expand(F.layer_norm(tokens, tokens.shape[1:], eps=self.folded.eps))
        k = len(hidden) // side**2
        reflected = _reflected(1 << (k - 1).bit_length(), side, hidden.device)
        padded = hidden.index_select(0, reflected[: k * (side + 2) ** 2])
        filtered = self.depthwise(padded.reshape(k, side + 2, side + 2, -1))
        return self.reduce.added_to(tokens, filtered.reshape(len(tokens), -1))


def _by_head(qkv: Tensor, heads: int) -> Tensor:
    """View [K, T, 3 C] as [3, K, heads, T, C / heads]."""
    return qkv.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)


def _like(x: Tensor) -> Tensor:
    """An empty tensor of the same shape whose last dimensions lie together."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@cache
def _reflected(count: int, side: int, device: torch.device) -> Tensor:
    """Rows of [K * M * M] that make [K, M + 2, M + 2] with one token reflected at each border."""
    with torch.inference_mode(False):
        line = torch.arange(-1, side + 1, device=device).abs()
        line = torch.where(line == side, side - 2, line)
        window = (line[:, None] * side + line).flatten()
        return (torch.arange(count, device=device)[:, None] * side**2 + window).flatten()

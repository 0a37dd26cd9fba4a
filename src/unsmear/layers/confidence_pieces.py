"""The confidence predictor in cache-sized pieces: its fast form without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.layers.chunks import token_chunks
from unsmear.layers.packed import PackedLinear

if TYPE_CHECKING:
    from unsmear.layers.confidence import ConfidencePredictor


class PredictorInPieces:
    """Computes what a predictor does, with two linear layers folded into one.

    Nothing stands between the embedding's last layer and the judge's first. So their local parts
    are one layer of half the width, and the shared part, which only its mean leaves, is computed
    once from the mean of its input: 1.6 C^2 multiply-adds a token instead of 2.6.

    Args:
        predictor: whose weights are folded, in float32 at least.
        dtype: of the maps and of the results.
    """

    def __init__(self, predictor: ConfidencePredictor, dtype: torch.dtype) -> None:
        first, _, norm, last = cast("tuple[Any, ...]", tuple(predictor.embed))
        judge, _, *rest = cast("tuple[Any, ...]", tuple(predictor.judge))
        self.dtype = dtype
        self.eps = norm.eps
        self.half = judge.in_features // 2

        self.wide = wide = torch.promote_types(dtype, torch.float32)
        weight = last.weight.to(wide) * norm.weight.to(wide)
        bias = last.weight.to(wide) @ norm.bias.to(wide) + last.bias.to(wide)
        local, shared = slice(0, weight.shape[0] - self.half), slice(-self.half, None)
        to_judge = judge.weight.to(wide)
        self.shared_weight, self.shared_bias = weight[shared], bias[shared]
        self.mean_weight = to_judge[:, shared]
        self.judge_bias = to_judge[:, local] @ bias[local] + judge.bias.to(wide)
        self.embed = PackedLinear(first.weight.to(dtype), first.bias.to(dtype), gelu=True)
        self.to_judge = PackedLinear((to_judge[:, local] @ weight[local]).to(dtype), None)
        self.judge = [
            PackedLinear(layer.weight.to(dtype), layer.bias.to(dtype), gelu=number == 0)
            for number, layer in enumerate(rest[::2])
        ]

    def run(self, image: Tensor, mean: Tensor | None) -> tuple[Tensor, Tensor]:
        """Score one image [H, W, C]: float32 [H, W, 2], and its own mean, float32 [C / 2]."""
        h, w, c = image.shape
        tokens = image.reshape(h * w, c)
        judged = tokens.new_empty(h * w, len(self.judge_bias))
        total = torch.zeros(c, dtype=self.wide, device=tokens.device)
        for part in token_chunks(h * w, c, tokens.device):
            features = F.layer_norm(self.embed(tokens[part]), (c,), eps=self.eps)
            judged[part] = self.to_judge(features)
            total += features.sum(dim=0, dtype=self.wide)
        own = self.shared_weight @ (total / (h * w)) + self.shared_bias
        used = own if mean is None else mean.to(own.dtype)
        bias = (self.mean_weight @ used + self.judge_bias).to(self.dtype)
        scores = torch.empty(h * w, 2, dtype=torch.float32, device=tokens.device)
        for part in token_chunks(h * w, c, tokens.device):
            hidden = F.gelu(judged[part].add_(bias))
            for layer in self.judge:
                hidden = layer(hidden)
            scores[part] = hidden
        return scores.reshape(h, w, 2), own.float()

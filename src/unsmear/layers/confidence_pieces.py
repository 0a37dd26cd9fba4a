"""The confidence predictor in cache-sized pieces: its fast form wherever torch runs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.layers.chunks import token_chunks
from unsmear.layers.folded_predictor import FoldedPredictor
from unsmear.layers.packed import PackedLinear


class PredictorInPieces:
    """Computes a folded predictor over some tokens at a time.

    Args:
        folded: the weights.
    """

    def __init__(self, folded: FoldedPredictor) -> None:
        self.folded = folded
        self.embed = PackedLinear(folded.embed_weight, folded.embed_bias, gelu=True)
        self.to_judge = PackedLinear(folded.judge_weight, None)
        self.hidden = PackedLinear(folded.hidden_weight, folded.hidden_bias, gelu=True)
        self.score = PackedLinear(folded.score_weight, folded.score_bias)

    def run(self, image: Tensor, mean: Tensor | None) -> tuple[Tensor, Tensor]:
        """Score one image [H, W, C]: float32 [H, W, 2], and its own mean, float32 [C / 2]."""
        h, w, c = image.shape
        tokens = image.reshape(h * w, c)
        judged = tokens.new_empty(h * w, len(self.folded.judge_weight))
        total = torch.zeros(c, dtype=self.folded.mean_bias.dtype, device=tokens.device)
        for part in token_chunks(h * w, c, tokens.device):
            features = F.layer_norm(self.embed(tokens[part]), (c,), eps=self.folded.eps)
            judged[part] = self.to_judge(features)
            total += features.sum(dim=0, dtype=total.dtype)
        own, bias = self.folded.shared(total / (h * w), mean)
        bias = bias.to(judged.dtype)
        scores = torch.empty(h * w, 2, dtype=torch.float32, device=tokens.device)
        for part in token_chunks(h * w, c, tokens.device):
            scores[part] = self.score(self.hidden(F.gelu(judged[part].add_(bias))))
        return scores.reshape(h, w, 2), own

"""The blur-aware confidence predictor and the decision layer (LMD-ViT 3.2.1 and 3.2.2)."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.layers.fast import FastPredictor, fast_predictor
from unsmear.layers.foldable import is_foldable
from unsmear.layers.norm import LayerNorm
from unsmear.layers.remembered import Remembered
from unsmear.layers.windows import partition_windows


class ConfidencePredictor(nn.Module):
    """Scores every token for "keep" (channel 0: blurred) and "prune" (channel 1: sharp).

    Half of the features stay local, the other half is replaced by its mean over the whole image,
    so that "blurred" is judged against the rest of the picture.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), LayerNorm(dim), nn.Linear(dim, dim)
        )
        self.judge = nn.Sequential(
            nn.Linear(dim, dim // 2),
            nn.GELU(),
            nn.Linear(dim // 2, dim // 4),
            nn.GELU(),
            nn.Linear(dim // 4, 2),
        )
        self._fast: Remembered[FastPredictor] = Remembered()

    def train(self, mode: bool = True) -> Self:
        """Set the mode, and have the fast form made anew."""
        self._fast.forget()
        return super().train(mode)

    def forward(self, x: Tensor, mean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score a map.

        Args:
            x: [B, H, W, C].
            mean: [B, C / 2], the mean to use instead of this map's own: a part of a picture is
                judged as in the whole with the whole's.

        Returns:
            float32 scores [B, H, W, 2], and this map's own mean, float32 [B, C / 2].
        """
        plain = torch.is_grad_enabled() or torch.compiler.is_compiling()
        if plain or not is_foldable(self):
            return self._score(x, mean)
        with torch.autocast(x.device.type, enabled=False):
            fast = self._fast.of(list(self.parameters()), x.dtype, lambda: fast_predictor(self, x))
            means = [None] * len(x) if mean is None else list(mean)
            scored = [fast.run(*pair) for pair in zip(x, means, strict=True)]
        scores, own = zip(*scored, strict=True)
        return torch.stack(scores), torch.stack(own)

    def _score(self, x: Tensor, mean: Tensor | None) -> tuple[Tensor, Tensor]:
        """The plain form, of the whole batch at once."""
        local, shared = self.embed(x).chunk(2, dim=-1)
        own = shared.float().mean(dim=(1, 2))
        used = (own if mean is None else mean).to(local.dtype)[:, None, None, :]
        both = torch.cat([local, used.expand(*local.shape[:3], -1)], dim=-1)
        return self.judge(both).float(), own


def window_scores(scores: Tensor, window_size: int, shift: int) -> Tensor:
    """Mean score of each window of a (shifted) partition: [B, H, W, 2] -> [B, H/M, W/M, 2]."""
    b, h, w, _ = scores.shape
    windows = partition_windows(scores, window_size, shift).mean(dim=1)
    return windows.reshape(b, h // window_size, w // window_size, 2)


def decide(scores: Tensor, threshold: float) -> Tensor:
    """Keep windows of a confidence above the threshold (LMD-ViT eq. 3).

    [B, h, w, 2] -> float 0/1 [B, h, w].
    """
    return (scores.float().softmax(dim=-1)[..., 0] > threshold).float()


def sample_decision(scores: Tensor) -> Tensor:
    """Draw keep or prune by Gumbel-Softmax, hard forward and straight through backward.

    [B, h, w, 2] -> float 0/1 [B, h, w] with the gradient of the soft sample (LMD-ViT eq. 2).
    """
    return F.gumbel_softmax(scores.float(), tau=1.0, hard=True, dim=-1)[..., 0]

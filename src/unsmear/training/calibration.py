"""Sets the confidence predictors so that at the threshold of 0.5 they keep what they should.

Cross-entropy makes a predictor right on average over tokens. What a user needs is another thing:
that next to no blur is lost, and only then that sharp windows are pruned. One number for each
predictor, the bias of its "keep" score, decides between the two; it is measured here, on samples to
train on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.data import BlurTriple
from unsmear.layers import partition_windows
from unsmear.models import LMDViT


@torch.no_grad()
def calibrate(network: LMDViT, samples: Sequence[BlurTriple], recall: float) -> None:
    """Shift every predictor's scores so that its kept windows hold a share of the blurred pixels.

    Args:
        network: changed in place.
        samples: [3, H, W], [3, H, W] and [1, H, W]; some of them blurred.
        recall: that share, in (0, 1].
    """
    training = network.training
    network.eval()
    predictors = [predictor for stage in network.stages for predictor in stage.predictors]
    # One after the other: what a predictor sees depends on what those before it keep.
    for number, predictor in enumerate(predictors):
        pairs = [_windows(network, sample, number) for sample in samples]
        margins, pixels = (torch.cat(part) for part in zip(*pairs, strict=True))
        last = predictor.judge[-1]
        assert isinstance(last, nn.Linear)
        last.bias[0] -= least_margin(margins, pixels, recall)
    network.train(training)


def _windows(network: LMDViT, sample: BlurTriple, number: int) -> tuple[Tensor, Tensor]:
    """For each window of a predictor: how sure it is to keep, and its blurred pixels: [N], [N]."""
    stage, shift = network.predictor_places[number]
    side, scale = network.config.window_size, network.scale_of(stage)
    score = network(sample.blurred[None]).scores[number]
    margin = (score[..., 0] - score[..., 1])[..., None]
    tokens = _token_shares(sample.blur_mask, scale, score.shape[1:3])
    means = partition_windows(margin, side, shift).mean(dim=(1, 2))
    return means, partition_windows(tokens, side, shift).sum(dim=(1, 2))


def least_margin(margins: Tensor, weights: Tensor, share: float) -> float:
    """The largest margin such that windows above it hold ``share`` of the weight: [N], [N].

    A hair below that window's own, so that the window is kept; 0 where nothing has weight.
    """
    if weights.sum() <= 0:
        return 0.0
    order = margins.argsort(descending=True)
    held = weights[order].cumsum(0) / weights.sum()
    number = min(int((held < share).sum()), len(margins) - 1)
    return float(margins[order[number]]) - 1e-4


def _token_shares(mask: Tensor, scale: int, size: Sequence[int]) -> Tensor:
    """Blurred share of each token of a padded map: [1, H, W] -> [1, h, w, 1]."""
    pooled = F.avg_pool2d(mask[None], scale, ceil_mode=True)[0]
    h, w = pooled.shape[-2:]
    return F.pad(pooled, (0, size[1] - w, 0, size[0] - h))[..., None]

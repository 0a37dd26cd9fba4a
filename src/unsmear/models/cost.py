"""Multiply-adds of a network: dense, and what a picture really took.

Counted are the products of convolutions, linear layers and attention; biases, norms, activations
and softmax are not, as in LMD-ViT's table (whose "FLOPs" are multiply-adds). What depends on the
blur, the windows that LMD-ViT keeps, is counted by formula. The other networks take the same for
every pixel: they are run on a small picture, and the count grows with its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from unsmear.models.lmdvit import LMDViT
from unsmear.models.network import DeblurringNetwork
from unsmear.models.registry import build

SIDE = 32  # px; a multiple of every such network's size step


@dataclass(frozen=True)
class StageCost:
    """Multiply-adds of one stage.

    Attributes:
        predictors: of the confidence predictors, which see every token.
        block: of one block with every window kept.
        depth: blocks.
    """

    predictors: int
    block: int
    depth: int


@dataclass(frozen=True)
class NetworkCost:
    """Multiply-adds for one picture of a given size, padding included.

    Attributes:
        fixed: of what every picture takes: in LMD-ViT the projections, downsamplings and
            upsamplings, in other networks all.
        stages: stages 1 to 9 of LMD-ViT; empty for networks that prune no windows.
    """

    fixed: int
    stages: tuple[StageCost, ...]

    @property
    def dense(self) -> int:
        """With every window kept."""
        return self.spent([(1.0, 1.0)] * len(self.stages))

    def spent(self, kept: Sequence[tuple[float, float]]) -> int:
        """With a share of the windows kept in each stage's (unshifted, shifted) blocks."""
        total = self.fixed
        for stage, (plain, shifted) in zip(self.stages, kept, strict=True):
            blocks = plain * ((stage.depth + 1) // 2) + shifted * (stage.depth // 2)
            total += stage.predictors + round(stage.block * blocks)
        return total


def network_cost(
    network: DeblurringNetwork, height: int, width: int, budget: float = 0.0
) -> NetworkCost:
    """Count the multiply-adds for a picture of ``height`` x ``width`` pixels.

    ``budget`` is that of networks which sample pixels.
    """
    if isinstance(network, LMDViT):
        return _pruned_cost(network, height, width)
    step = network.size_step
    pixels = (height + -height % step) * (width + -width % step)
    wishes = {"budget": budget} if network.takes_budget else {}
    return NetworkCost(_counted(network.config, **wishes) * pixels // SIDE**2, ())


@lru_cache(maxsize=64)
def _counted(config: Any, **wishes: float) -> int:
    """Multiply-adds that torch ran for a picture of :data:`SIDE` x :data:`SIDE` pixels."""
    # It brings Triton along, where that is installed: nothing to load for a count by formula.
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = build(config)
    network.to_empty(device="cpu")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.zero_()  # what memory happens to hold could be slow to multiply
        network(torch.zeros(1, 3, SIDE, SIDE), **wishes)
    return counter.get_total_flops() // 2  # a multiply-add is two of its operations


def _pruned_cost(network: LMDViT, height: int, width: int) -> NetworkCost:
    config, step = network.config, network.size_step
    pixels = (height + -height % step) * (width + -width % step)
    tokens_of = [pixels // network.scale_of(number) ** 2 for number in range(1, 10)]
    dims, c, window = config.dims, config.embed_dim, config.window_size**2
    fixed = pixels * 9 * (3 * c + dims[-1] * 4)
    for number in range(4):
        fixed += tokens_of[number + 1] * 16 * dims[number] * dims[number + 1]
        fixed += tokens_of[5 + number] * dims[4 + number] * (dims[5 + number] // 2)
    stages = []
    for stage, dim, depth, tokens in zip(
        network.stages, dims, config.depths, tokens_of, strict=True
    ):
        hidden = dim * config.mlp_ratio
        attention = 4 * dim * dim + 2 * window * dim
        feed_forward = 2 * dim * hidden + 9 * hidden
        predictor = 2 * dim * dim + dim * (dim // 2) + (dim // 2) * (dim // 4) + (dim // 4) * 2
        stages.append(
            StageCost(
                tokens * predictor * len(stage.predictors),
                tokens * (attention + feed_forward),
                depth,
            )
        )
    return NetworkCost(fixed, tuple(stages))

"""What DMPHN and SRN did: the picture after every level or scale, and where they sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from unsmear.explain.figure import Figure, before_and_after, step_figure
from unsmear.explain.sampling import sampling_figures
from unsmear.models.dmphn import DMPHN
from unsmear.models.srn import SRN
from unsmear.models.staged import Staged


def draw_dmphn(network: DMPHN, photo: Tensor, options: Mapping[str, float]) -> list[Figure]:
    """Run the network on [1, 3, H, W]; levels are numbered as in the paper, from the top."""
    levels = range(network.config.levels, 0, -1)
    return _draw(network(photo, **options), photo, [(f"Level {level}", 1) for level in levels])


def draw_srn(network: SRN, photo: Tensor, options: Mapping[str, float]) -> list[Figure]:
    """Run the network on [1, 3, H, W]; scales are numbered from the smallest."""
    scales = network.config.scales
    stages = [(f"Scale {scale}", 2 ** (scales - scale)) for scale in range(1, scales + 1)]
    return _draw(network(photo, **options), photo, stages)


def _draw(out: Staged, photo: Tensor, stages: Sequence[tuple[str, int]]) -> list[Figure]:
    """Draw a result; of each stage its name and how many pixels a side its pixels stand for."""
    steps = [
        step_figure(name, picture, side, photo)
        for (name, side), picture in zip(stages[:-1], out.stages, strict=True)
    ]
    sampled = [
        figure
        for one in out.sampling
        for figure in sampling_figures(one, *stages[one.stage - 1], photo)
    ]
    return [*before_and_after(photo, out.restored), *steps, *sampled]

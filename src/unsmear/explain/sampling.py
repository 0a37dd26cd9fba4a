"""Where a network sampled pixels, whichever network it is."""

from __future__ import annotations

from torch import Tensor

from unsmear.explain.colours import dotted, spread, stretched_heat
from unsmear.explain.figure import Figure, file_name
from unsmear.models.staged import SampledPixels


def sampling_figures(
    sampled: SampledPixels, stage: str, side: int, photo: Tensor
) -> tuple[Figure, Figure]:
    """The pixels that a sampler chose, and how likely it found every pixel.

    Args:
        sampled: its decisions.
        stage: what to call the stage.
        side: pixels of the photo in one of the stage's, a side.
        photo: [1, 3, H, W].
    """
    drawn = sampled.drawn > 0
    count, total = int(drawn.sum()), drawn.numel()
    heated, ends = stretched_heat(spread(sampled.logits.sigmoid(), side, photo), photo)
    name = f"{file_name(stage)}-r{sampled.ratio}"
    return (
        Figure(
            f"{name}-sampled",
            f"Sampled pixels at r = {sampled.ratio}",
            f"{count:,} of {total:,} pixels ({count / total:.1%}) were worked on, in red. The "
            f"budget is {sampled.share:.1%}, padding included.",
            dotted(spread(drawn, side, photo), photo),
            stage,
        ),
        Figure(
            f"{name}-probability",
            f"Probability of being sampled at r = {sampled.ratio}",
            f"The likeliest pixels were taken. {ends}",
            heated,
            stage,
        ),
    )

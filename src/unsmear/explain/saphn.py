"""What SAPHN did: sampled pixels, attention, offsets and kernels (as in the paper's figs. 8 and 9).

The last content-aware block of each decoder is watched at full and at quarter resolution, by
hooks: the network knows nothing of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from unsmear.explain.colours import spread, stretched_heat
from unsmear.explain.content_aware import VIEWS, Given, View
from unsmear.explain.figure import Figure, before_and_after, file_name, step_figure
from unsmear.explain.sampling import sampling_figures
from unsmear.layers.content_aware import ContentAware
from unsmear.layers.patches import join_patches
from unsmear.models.saphn import BLOCKS, PATCHES, SAPHN

SCALES = {0: "full", 2: "quarter"}
STRONGEST = 3  # maps of one kind that are drawn


class Seen(NamedTuple):
    """The maps of one kind that vary most over space, in one block.

    Attributes:
        view: what they are.
        stage: 1 to 3.
        scale: 0 to 2, finest first.
        maps: [1, k, h, w] on the grid of the whole, padded picture.
        numbers: which these are, from 1, among all.
        total: of all.
    """

    view: View
    stage: int
    scale: int
    maps: Tensor
    numbers: tuple[int, ...]
    total: int


def draw(network: SAPHN, photo: Tensor, options: Mapping[str, float]) -> list[Figure]:
    """Run the network on [1, 3, H, W] and draw the result and what its blocks did."""
    with watching(network) as seen:
        out = network(photo, **options)
    padded = -(-photo.shape[-1] // network.size_step) * network.size_step
    steps = [
        step_figure(_name(number), picture, 1, photo)
        for number, picture in enumerate(out.stages[:-1], start=1)
    ]
    inside = [
        figure
        for one in out.sampling
        for figure in sampling_figures(one, _name(one.stage), 1, photo)
    ]
    inside += [figure for each in seen for figure in _figures(each, padded, photo)]
    inside.sort(key=lambda figure: figure.section)
    return [*before_and_after(photo, out.restored), *steps, *inside]


def _name(stage: int) -> str:
    return f"Stage {stage}"


@contextlib.contextmanager
def watching(network: SAPHN) -> Iterator[list[Seen]]:
    """Collect what the watched blocks do inside the context, in the order in which they run.

    Maps are reduced at once to those that are drawn, so that little memory is held.
    """
    seen: list[Seen] = []
    handles = [
        network.get_submodule(
            f"stages.{stage - 1}.decoder.{scale}.{BLOCKS - 1}.content"
        ).register_forward_hook(_hook(stage, scale, seen))
        for stage in range(1, len(PATCHES) + 1)
        for scale in SCALES
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _hook(stage: int, scale: int, seen: list[Seen]) -> Callable[..., None]:
    def look(module: torch.nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        for view in VIEWS:
            maps = view.look(cast("ContentAware", module), Given(*inputs))
            if maps is not None:
                whole = join_patches(maps, *PATCHES[stage - 1])
                numbers = strongest(whole)
                seen.append(
                    Seen(
                        view,
                        stage,
                        scale,
                        whole[:, numbers],
                        tuple(number + 1 for number in numbers),
                        whole.shape[1],
                    )
                )

    return look


def strongest(maps: Tensor) -> list[int]:
    """Which of [1, K, h, w] vary most over space, at most :data:`STRONGEST`, the first the most."""
    if maps.shape[1] == 1:
        return [0]
    variance = maps[0].flatten(1).var(dim=1, unbiased=False)
    return variance.topk(min(STRONGEST, len(variance))).indices.tolist()


def _figures(seen: Seen, padded: int, photo: Tensor) -> Iterable[Figure]:
    """Draw the maps of one kind; ``padded`` is the width of the padded picture."""
    view, scale, stage = seen.view, SCALES[seen.scale], _name(seen.stage)
    side = padded // seen.maps.shape[-1]
    several = seen.total > 1
    name = f"{file_name(stage)}-{scale}-{view.name}"
    for rank, number in enumerate(seen.numbers, start=1):
        values = spread(seen.maps[:, rank - 1 : rank], side, photo)
        heated, ends = stretched_heat(values, photo, view.unit)
        words = [view.caption]
        if several:
            words.append(f"Map {number} of {seen.total}; those that vary most are shown.")
        if side > 1:
            words.append(f"One value for {side} x {side} pixels.")
        if values.isnan().any():
            words.append("Grey where no pixel was sampled.")
        yield Figure(
            f"{name}{rank}" if several else name,
            f"{view.title}, {scale} resolution",
            " ".join([*words, ends]),
            heated,
            stage,
        )

"""What can be seen of a content-aware block of SAPHN: where it attends, how it filters.

Shapes as in :mod:`unsmear.layers.content_aware`: B patches, C channels, H x W pixels, L of them
processed, h x w the uniform grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from unsmear.layers.content_aware import ContentAware
from unsmear.layers.pixel_sampling import Selection, put_back


class Given(NamedTuple):
    """What a block was given, as in :meth:`ContentAware.forward`."""

    x: Tensor  # [B, C, H, W]
    pixels: Tensor  # [B, C, L]
    uniform: Tensor  # [B, C, h, w]
    selection: Selection | None = None
    encoder: Tensor | None = None


def spatial_mask(content: ContentAware, given: Given) -> Tensor | None:
    """M_S of the self-attention, in (0, 1): [B, 1, h, w]; None without."""
    attention = content.self_attention
    if attention is None or attention.pixel_mask is None:
        return None
    mask = attention.pixel_mask(given.uniform.flatten(2)).sigmoid()
    return mask.unflatten(2, given.uniform.shape[2:])


def collecting_maps(content: ContentAware, given: Given) -> Tensor | None:
    """Q of the self-attention, each map over its mean: [B, K, h, w]; None without."""
    if content.self_attention is None:
        return None
    maps = content.self_attention.collecting_maps(given.uniform.flatten(2))
    return (maps / maps.mean(dim=2, keepdim=True)).unflatten(2, given.uniform.shape[2:])


def horizontal_offset(content: ContentAware, given: Given) -> Tensor | None:
    """Mean of abs(dx) over the filter's taps, in pixels of the map: [B, 1, H, W]; None without.

    NaN at pixels that the block did not process.
    """
    offsets = content.filter.offsets(given.pixels)
    return None if offsets is None else _in_place(offsets[..., 0].abs().mean(dim=2), given)


def kernel_variance(content: ContentAware, given: Given) -> Tensor | None:
    """Variance of V over the filter's taps: [B, 1, H, W]; None without.

    NaN at pixels that the block did not process.
    """
    kernels = content.filter.kernels(given.pixels)
    return None if kernels is None else _in_place(kernels.var(dim=2, unbiased=False), given)


def _in_place(values: Tensor, given: Given) -> Tensor:
    """Put one number a processed pixel, [B, L], where that pixel lies."""
    nowhere = given.x.new_full((len(given.x), 1, *given.x.shape[2:]), float("nan"))
    return put_back(values[:, None], nowhere, given.selection)


class View(NamedTuple):
    """One thing to look at.

    Attributes:
        name: for files.
        title: for people.
        caption: what the values are.
        unit: of the values.
        look: gives one or several maps; None where the block has no such part.
    """

    name: str
    title: str
    caption: str
    unit: str
    look: Callable[[ContentAware, Given], Tensor | None]


VIEWS = (
    View(
        "mask",
        "Spatial mask of attention",
        "M_S, the weight of a pixel's features where attention collects them.",
        "",
        spatial_mask,
    ),
    View(
        "attention",
        "Attention map",
        "Q, how much a pixel gives to one collected feature; 1 is the mean of its patch.",
        "",
        collecting_maps,
    ),
    View(
        "offset",
        "Horizontal offsets",
        "How far a pixel's filter reaches sideways: mean of |dx| over its taps, in pixels of the "
        "map.",
        " px",
        horizontal_offset,
    ),
    View(
        "kernel",
        "Variance of the kernels",
        "How much the predicted weights of a pixel's filter differ from tap to tap.",
        "",
        kernel_variance,
    ),
)

"""Run a network on one picture, whole or, where memory is short, in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unsmear.inference.regions import sure_regions
from unsmear.metrics import kept_pixels
from unsmear.models import DeblurringNetwork, LMDViT

Progress = Callable[[float], None]
RAMP = 32  # px on either side of a tile's border over which it blends into its neighbour


class Restoration(NamedTuple):
    """What the network made of one picture, on the CPU.

    Attributes:
        restored: [3, H, W] float32, not clamped.
        blur_map: [H, W] float32 in [0, 1].
        kept: bool [H, W], pixels of the windows that the last pruned stage kept, but for regions
            nowhere sure; all of them in networks that prune no windows.
        keep: [1, 1, h, w] 0/1 of each predictor in the rolled frame of its block, in network order.
        tiles: 1 for a picture computed whole.
    """

    restored: Tensor
    blur_map: Tensor
    kept: Tensor
    keep: tuple[Tensor, ...]
    tiles: int

    @property
    def windows(self) -> list[tuple[int, int]]:
        """(kept, all) windows of each predictor."""
        return [(int(keep.sum()), keep.numel()) for keep in self.keep]


class Request(NamedTuple):
    """How to run the network; each takes of it what it knows."""

    threshold: float = 0.5
    region: Tensor | None = None  # bool [H, W]: keep what it touches instead of what is predicted
    dense: bool = False
    budget: float = 0.0


def restore_whole(
    network: DeblurringNetwork, image: Tensor, request: Request, progress: Progress | None = None
) -> Restoration:
    """Restore [3, H, W] in one go, on the network's device."""
    with _reporting(network, progress):
        out = _run(network, image, request)
    return restoration_of(network, out, 0, *image.shape[-2:], request=request)


def restoration_of(
    network: DeblurringNetwork, out: Any, index: int, height: int, width: int, request: Request
) -> Restoration:
    """One picture of a batch that a network computed whole, cut to its size."""
    keep = tuple(maps[index : index + 1].cpu() for maps in _decisions(network, out))
    blur_map = out.blur_map[index, 0, :height, :width].float().cpu()
    return Restoration(
        out.restored[index, :, :height, :width].float().cpu(),
        blur_map,
        _kept(network, keep, blur_map, request),
        keep,
        1,
    )


def _decisions(network: DeblurringNetwork, out: Any) -> tuple[Tensor, ...]:
    return out.keep if network.predictor_places else ()


def last_kept(
    network: DeblurringNetwork, keep: Sequence[Tensor], height: int, width: int
) -> Tensor:
    """Pixels whose window the last pruned stage kept in any of its blocks: bool [H, W].

    ``keep`` is that of :class:`Restoration`. A network without predictors keeps everything.
    """
    if not isinstance(network, LMDViT) or not keep:
        return torch.ones(height, width, dtype=torch.bool)
    last = network.predictor_places[-1][0]
    scale = network.scale_of(last)
    side = network.config.window_size * scale
    maps = [
        kept_pixels(own, side, shift * scale, height, width)[0, 0]
        for own, (stage, shift) in zip(keep, network.predictor_places, strict=True)
        if stage == last
    ]
    return torch.stack(maps).any(dim=0)


def _kept(
    network: DeblurringNetwork, keep: Sequence[Tensor], blur_map: Tensor, request: Request
) -> Tensor:
    """Pixels to change: those of kept windows, unless the network had doubts all around."""
    kept = last_kept(network, keep, *blur_map.shape)
    if not keep or request.dense or request.region is not None:
        return kept
    return sure_regions(kept, blur_map, request.threshold, _window_sides(network)[-1])


def restore_tiled(
    network: DeblurringNetwork,
    image: Tensor,
    request: Request,
    tile: int,
    progress: Progress | None = None,
) -> Restoration:
    """Restore [3, H, W] in tiles that agree with the whole picture.

    The frame stays in host memory. Tiles begin on the grid of the whole picture's windows, see
    some of their surroundings, and are judged by the means of the whole picture, which a first
    pass over the tiles collects. Networks that attend to the whole picture, or cut it into patches
    themselves, see a tile as a picture of its own.

    Args:
        network: the network.
        image: [3, H, W] on the CPU.
        request: threshold, region, dense.
        tile: side of the tiles in pixels, without surroundings; a multiple of the size step.
        progress: told the share that is done.
    """
    _, h, w = image.shape
    tiles = list(_tiles(h, w, tile))
    means, done = None, 0
    if not (request.dense or request.region is not None) and network.predictor_places:
        means = _picture_means(network, image, request, tiles, progress)
        done = len(tiles)

    total = torch.zeros(4, h, w)
    weights = torch.zeros(h, w)
    sides = _window_sides(network)
    step = network.size_step
    keep = tuple(
        torch.zeros(1, 1, -(-h // step) * step // side, -(-w // step) * step // side)
        for side in sides
    )
    for number, (top, left, bottom, right) in enumerate(tiles, start=1):
        margin = network.surroundings
        y0, x0 = max(0, top - margin), max(0, left - margin)
        y1, x1 = min(h, bottom + margin), min(w, right + margin)
        out = _run(network, image[:, y0:y1, x0:x1], _cut(request, y0, x0, y1, x1), means)
        ramp = _ramp(y0, y1, top, bottom, h)[:, None] * _ramp(x0, x1, left, right, w)
        both = torch.cat([out.restored[0].float(), out.blur_map[0].float()]).cpu()
        total[:, y0:y1, x0:x1] += both * ramp
        weights[y0:y1, x0:x1] += ramp
        for side, maps, own in zip(sides, keep, _decisions(network, out), strict=True):
            rows, own_rows = _own_windows(top, bottom, h, y0, side)
            columns, own_columns = _own_windows(left, right, w, x0, side)
            maps[..., rows, columns] = own[..., own_rows, own_columns].cpu()
        if progress:
            progress((done + number) / (done + len(tiles)))
    total /= weights
    kept = _kept(network, keep, total[3], request)
    return Restoration(total[:3], total[3], kept, keep, len(tiles))


def _window_sides(network: DeblurringNetwork) -> list[int]:
    """Pixels in a window's side, for each predictor."""
    if not isinstance(network, LMDViT):
        return []
    return [network.config.window_size * network.scale_of(n) for n, _ in network.predictor_places]


def _own_windows(first: int, last: int, limit: int, start: int, side: int) -> tuple[slice, slice]:
    """Numbers of the windows in [first, last) of a side: in the picture, and in [start, ...)."""
    end = None if last == limit else last
    whole, part = (
        slice((first - zero) // side, end and (end - zero) // side) for zero in (0, start)
    )
    return whole, part


def _picture_means(
    network: DeblurringNetwork,
    image: Tensor,
    request: Request,
    tiles: list[tuple[int, int, int, int]],
    progress: Progress | None,
) -> list[Tensor]:
    """Mean features of the whole picture for each predictor, from tiles without overlap."""
    total: list[Tensor] | None = None
    area = 0
    for number, (top, left, bottom, right) in enumerate(tiles, start=1):
        means = _run(network, image[:, top:bottom, left:right], request).means
        pixels = (bottom - top) * (right - left)
        parts = [mean * pixels for mean in means]
        total = parts if total is None else [a + b for a, b in zip(total, parts, strict=True)]
        area += pixels
        if progress:
            progress(number / (2 * len(tiles)))
    return [mean / area for mean in total or []]


def _run(
    network: DeblurringNetwork,
    image: Tensor,
    request: Request,
    means: list[Tensor] | None = None,
) -> Any:
    device = next(network.parameters()).device
    wishes: dict[str, Any] = {}
    if isinstance(network, LMDViT):
        decisions: Tensor | str | None = "all" if request.dense else None
        if request.region is not None and not request.dense:
            decisions = request.region[None, None].to(device, torch.float32)
        wishes = {"threshold": request.threshold, "decisions": decisions, "means": means}
    elif network.takes_budget:
        wishes = {"budget": request.budget}
    with torch.inference_mode():
        return network(image[None].to(device), **wishes)


def _cut(request: Request, y0: int, x0: int, y1: int, x1: int) -> Request:
    region = request.region
    return request._replace(region=None if region is None else region[y0:y1, x0:x1])


def _tiles(height: int, width: int, tile: int) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            yield top, left, min(height, top + tile), min(width, left + tile)


def _ramp(start: int, end: int, first: int, last: int, limit: int) -> Tensor:
    """Weight of a tile along one side, over [start, end): 1 inside, falling across its borders."""
    place = torch.arange(start, end) + 0.5
    rise = ((place - first) / (2 * RAMP) + 0.5).clamp(0, 1) if first > 0 else torch.ones(len(place))
    fall = (
        ((last - place) / (2 * RAMP) + 0.5).clamp(0, 1) if last < limit else torch.ones(len(place))
    )
    return rise * fall


@contextmanager
def _reporting(network: DeblurringNetwork, progress: Progress | None) -> Iterator[None]:
    """Tell ``progress`` the share of milestones that are through."""
    if progress is None:
        yield
        return
    steps = len(network.milestones) + 1

    def telling(number: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:  # what a hook gives back would stand for the module's output
            progress(number / steps)

        return hook

    handles = [
        module.register_forward_hook(telling(number))
        for number, module in enumerate(network.milestones, start=1)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    progress(1.0)

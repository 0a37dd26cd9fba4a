"""Restore a picture in overlapping tiles that agree with the whole, where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.inference.restoration import (
    Progress,
    Request,
    Restoration,
    decisions_of,
    run_network,
    settled,
    window_sides,
)
from unsmear.models import DeblurringNetwork, LMDViT
from unsmear.models.padding import pad_to_multiple

RAMP = 32  # px on either side of a tile's border over which it blends into its neighbour
SETTLED = 1e-4  # means of features, about 1 in size, that differ by less decide alike
LIKELY_PASSES = 4


class _Side(NamedTuple):
    """One side of a tile: its own part of the frame, and what is seen around it.

    Attributes:
        length: of the frame.
        first: where the own part begins in the frame.
        last: where it ends, exclusive.
        seen: int64 numbers of the frame's rows (or columns) that the network is shown, ascending.
        start: where the own part begins among those.
    """

    length: int
    first: int
    last: int
    seen: Tensor
    start: int

    @property
    def own(self) -> slice:
        """The own part in the frame."""
        return slice(self.first, self.last)

    @property
    def inner(self) -> slice:
        """The own part in what is seen."""
        return slice(self.start, self.start + self.last - self.first)

    def blended(self, reach: int) -> tuple[slice, slice, Tensor]:
        """The own part and up to ``reach`` pixels beyond it.

        Returns:
            Its place in the frame and in what is seen, and its weight at each pixel: 1 inside,
            falling across the borders to neighbours.
        """
        first, last = max(0, self.first - reach), min(self.length, self.last + reach)
        offset = self.start - self.first
        place = torch.arange(first, last) + 0.5
        weight = torch.ones(last - first)
        if reach and self.first > 0:
            weight *= ((place - self.first) / (2 * reach) + 0.5).clamp(0, 1)
        if reach and self.last < self.length:
            weight *= ((self.last - place) / (2 * reach) + 0.5).clamp(0, 1)
        return slice(first, last), slice(first + offset, last + offset), weight


class _Tile(NamedTuple):
    """A tile of a frame."""

    rows: _Side
    columns: _Side

    @property
    def pixels(self) -> int:
        """Pixels of its own part."""
        return (self.rows.last - self.rows.first) * (self.columns.last - self.columns.first)

    def cut(self, frame: Tensor) -> Tensor:
        """What is seen of a frame [..., H, W]."""
        return frame[..., self.rows.seen, :][..., self.columns.seen]


class _Frame(NamedTuple):
    """A padded picture as one pass leaves it; `keep` as in :class:`Restoration`."""

    restored: Tensor  # [3, H, W]
    blur_map: Tensor  # [H, W]
    keep: tuple[Tensor, ...]
    means: list[Tensor]  # one [1, C / 2] for each predictor, as they come out


def restore_tiled(
    network: DeblurringNetwork,
    image: Tensor,
    request: Request,
    tile: int,
    progress: Progress | None = None,
) -> Restoration:
    """Restore [3, H, W] in tiles that agree with the whole picture.

    The frame stays in host memory. Tiles begin on the grid of the whole picture's windows, see
    some of their surroundings, and are judged by the means of the whole picture. Those depend on
    earlier decisions, and these on earlier means: so passes over the picture follow one another
    until its means no longer change, three to five in all; then every window is decided as in the
    whole. One pass does where nothing is judged. Networks that attend to the whole picture, or cut
    it into patches themselves, see a tile as a picture of its own.

    Args:
        network: the network.
        image: [3, H, W] on the CPU.
        request: threshold, region, dense.
        tile: side of the tiles in pixels, without surroundings; a multiple of the size step.
        progress: told the share that is done, about.
    """
    height, width = image.shape[-2:]
    frame = pad_to_multiple(image[None], network.size_step)[0]
    if request.region is not None:
        beyond = (0, frame.shape[-1] - width, 0, frame.shape[-2] - height)
        request = request._replace(region=F.pad(request.region, beyond))
    tiles = _tiles(network, frame, tile)
    judges = bool(network.predictor_places) and not request.dense and request.region is None
    means: list[Tensor] | None = None
    made = None
    for number in range(1 + len(network.predictor_places)):  # each pass settles one mean, or more
        told = _share(progress, number) if progress and judges else progress
        made = _pass(network, frame, request, tiles, means, told)
        if not judges or (means is not None and _settled(means, made.means)):
            break
        means = made.means
    if progress and judges:
        progress(1.0)
    assert made is not None
    restored, blur_map = made.restored[:, :height, :width], made.blur_map[:height, :width]
    return settled(network, made.keep, blur_map, image, restored, request, len(tiles))


def _tiles(network: DeblurringNetwork, frame: Tensor, tile: int) -> list[_Tile]:
    height, width = frame.shape[-2:]

    def sides(length: int) -> list[_Side]:
        joined = isinstance(network, LMDViT)
        return [
            _side(first, min(length, first + tile), length, network.surroundings, joined)
            for first in range(0, length, tile)
        ]

    return [_Tile(rows, columns) for rows in sides(height) for columns in sides(width)]


def _side(first: int, last: int, length: int, margin: int, joined: bool) -> _Side:
    """What to show around [first, last) of a side.

    Args:
        first: beginning of the own part.
        last: its end.
        length: of the frame.
        margin: pixels to show on either side.
        joined: shifted windows join opposite edges of the frame. So a tile at one edge is shown
            the other too, each at its end, where the network's own roll joins them; what lies
            between is left out, and nobody looks so far.
    """
    start, end = first - margin, last + margin
    if end - start >= length:
        seen = torch.arange(length)
    elif joined:
        seen = (torch.arange(start, end) % length).sort().values
    else:
        seen = torch.arange(max(0, start), min(length, end))
    return _Side(length, first, last, seen, int(torch.searchsorted(seen, first)))


def _pass(
    network: DeblurringNetwork,
    frame: Tensor,
    request: Request,
    tiles: list[_Tile],
    means: list[Tensor] | None,
    progress: Progress | None,
) -> _Frame:
    """Run the network on every tile, judged by the given means or by each tile's own."""
    height, width = frame.shape[-2:]
    total, weights = torch.zeros(4, height, width), torch.zeros(height, width)
    sides = window_sides(network)
    keep = tuple(torch.zeros(1, 1, height // side, width // side) for side in sides)
    found = [torch.zeros(())] * len(sides)
    reach = min(RAMP, network.surroundings)
    for number, tile in enumerate(tiles, start=1):
        region = None if request.region is None else tile.cut(request.region)
        with _means_of_own_part(network, tile):
            out = run_network(network, tile.cut(frame), request._replace(region=region), means)
        rows, seen_rows, row_weight = tile.rows.blended(reach)
        columns, seen_columns, column_weight = tile.columns.blended(reach)
        both = torch.cat([out.restored[0].float(), out.blur_map[0].float()])
        weight = row_weight[:, None] * column_weight
        total[:, rows, columns] += both[:, seen_rows, seen_columns].cpu() * weight
        weights[rows, columns] += weight
        for side, maps, own in zip(sides, keep, decisions_of(network, out), strict=True):
            inner = own[..., _scaled(tile.rows.inner, side), _scaled(tile.columns.inner, side)]
            maps[..., _scaled(tile.rows.own, side), _scaled(tile.columns.own, side)] = inner.cpu()
        if sides:
            share = tile.pixels / (height * width)
            found = [a + b * share for a, b in zip(found, out.means, strict=True)]
        if progress:
            progress(number / len(tiles))
    total /= weights
    return _Frame(total[:3], total[3], keep, found)


@contextmanager
def _means_of_own_part(network: DeblurringNetwork, tile: _Tile) -> Iterator[None]:
    """Have predictors tell the means of the tile's own part instead of all that it sees."""
    handles = []
    if isinstance(network, LMDViT):
        predictors = [each for stage in network.stages for each in stage.predictors]
        for predictor, (stage, _) in zip(predictors, network.predictor_places, strict=True):
            scale = network.scale_of(stage)
            own = [_scaled(side.inner, scale) for side in tile]
            handles.append(predictor.register_forward_hook(_mean_of(*own)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _mean_of(rows: slice, columns: slice) -> Callable[..., Any]:
    asking = get_ident()

    def hook(predictor: Any, given: Sequence[Any], out: Any) -> Any:
        if get_ident() != asking:  # another thread has a picture of its own in the same network
            return out
        scores, _ = out
        _, own = predictor.forward(given[0][:, rows, columns].contiguous())
        return scores, own

    return hook


def _settled(before: list[Tensor], after: list[Tensor]) -> bool:
    return all(bool((a - b).abs().amax() < SETTLED) for a, b in zip(before, after, strict=True))


def _share(progress: Progress, number: int) -> Progress:
    """Progress of pass ``number``, counted from 0, of a number of passes that is only likely."""
    most = 1 - 0.5 / LIKELY_PASSES
    return lambda share: progress(min((number + share) / LIKELY_PASSES, most))


def _scaled(part: slice, scale: int) -> slice:
    return slice(part.start // scale, part.stop // scale)

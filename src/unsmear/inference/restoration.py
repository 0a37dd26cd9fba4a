"""Run a network on one picture, and say what it kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unsmear.inference.regions import sure_regions, visible_change
from unsmear.metrics import kept_pixels
from unsmear.models import DeblurringNetwork, LMDViT

Progress = Callable[[float], None]


class Restoration(NamedTuple):
    """What the network made of one picture, on the CPU.

    Attributes:
        restored: [3, H, W] float32, not clamped.
        blur_map: [H, W] float32 in [0, 1].
        kept: bool [H, W], pixels of the windows that the last pruned stage kept, but for regions
            nowhere sure; all of them in networks that prune no windows.
        shown: bool [H, W], of these the ones to change; in the others it would not be seen.
        keep: [1, 1, h, w] 0/1 of each predictor in the rolled frame of its block, in network order.
        tiles: 1 for a picture computed whole.
    """

    restored: Tensor
    blur_map: Tensor
    kept: Tensor
    shown: Tensor
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
        out = run_network(network, image, request)
    return restoration_of(network, out, 0, image, request)


def restoration_of(
    network: DeblurringNetwork, out: Any, index: int, image: Tensor, request: Request
) -> Restoration:
    """One picture of a batch that a network computed whole, cut to its size.

    Args:
        network: the network.
        out: what it gave back.
        index: the picture's, in the batch.
        image: [3, H, W] on the CPU, the picture itself.
        request: what the network was asked.
    """
    height, width = image.shape[-2:]
    keep = tuple(maps[index : index + 1].cpu() for maps in decisions_of(network, out))
    blur_map = out.blur_map[index, 0, :height, :width].float().cpu()
    restored = out.restored[index, :, :height, :width].float().cpu()
    return settled(network, keep, blur_map, image, restored, request, tiles=1)


def decisions_of(network: DeblurringNetwork, out: Any) -> tuple[Tensor, ...]:
    """Which windows each predictor kept, of what a network gave back; none without predictors."""
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


def window_sides(network: DeblurringNetwork) -> list[int]:
    """Pixels in a window's side, for each predictor."""
    if not isinstance(network, LMDViT):
        return []
    return [network.config.window_size * network.scale_of(n) for n, _ in network.predictor_places]


def settled(
    network: DeblurringNetwork,
    keep: tuple[Tensor, ...],
    blur_map: Tensor,
    image: Tensor,
    restored: Tensor,
    request: Request,
    tiles: int,
) -> Restoration:
    """Say of a whole picture which pixels are kept, and which to change.

    All arguments are like the fields of :class:`Restoration`; ``image`` [3, H, W] is the input.
    """
    kept = last_kept(network, keep, *blur_map.shape)
    if not keep or request.dense or request.region is not None:
        return Restoration(restored, blur_map, kept, kept, keep, tiles)
    kept = sure_regions(kept, blur_map, request.threshold, window_sides(network)[-1])
    shown = visible_change(kept, image, restored)
    return Restoration(restored, blur_map, kept, shown, keep, tiles)


def run_network(
    network: DeblurringNetwork,
    image: Tensor,
    request: Request,
    means: list[Tensor] | None = None,
) -> Any:
    """Run the network on [3, H, W] as requested, judged by ``means`` of a larger picture if any."""
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


@contextmanager
def _reporting(network: DeblurringNetwork, progress: Progress | None) -> Iterator[None]:
    """Tell ``progress`` the share of milestones that are through."""
    if progress is None:
        yield
        return
    steps, asking = len(network.milestones) + 1, get_ident()

    def telling(number: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:  # what a hook gives back would stand for the module's output
            if get_ident() == asking:  # and not another thread, with a photo of its own
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

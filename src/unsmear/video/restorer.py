"""The network on the parts of a frame in which something moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unsmear.errors import InputError
from unsmear.inference import Deblurrer, Steering
from unsmear.inference.composite import compose, kept_weight, region_weight
from unsmear.inference.deblurrer import USABLE_MEMORY
from unsmear.inference.restoration import last_kept
from unsmear.layers.confidence import decide, window_scores
from unsmear.models import LMDViT
from unsmear.runtime import available_memory
from unsmear.video.clip import Frame
from unsmear.video.colours import Box, add_change, planes_of, to_rgb
from unsmear.video.motion import CELL, cells_of, parts, pixels_of
from unsmear.video.steady import DOUBT, Verdict

REFRESH = 96  # frames after which a whole one is looked at again
MARGIN = 32  # px around what moves that LMD-ViT sees at least; beyond, its windows hardly matter
FADE = 0.5  # weight of a change one frame before it begins and one after it ended


class Judged(NamedTuple):
    """By what mean features a network judges parts of a frame.

    Attributes:
        means: of the last frame that it saw whole, one [1, C / 2] a predictor; empty before that.
        number: of that frame.
    """

    means: tuple[Tensor, ...] = ()
    number: int = 0


class Part(NamedTuple):
    """A part of a frame that the network saw.

    Attributes:
        box: where it is.
        rgb: (H, W, 3) uint16, what it saw.
        restored: [3, H, W] in [0, 1], what it made of it.
    """

    box: Box
    rgb: np.ndarray
    restored: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame that the network has seen.

    Attributes:
        frame: the frame.
        verdict: where it is blurred.
        parts: what the network made of it; nowhere else may it change.
        judged: the means that hold after it.
        pixels: that were given to the network for it.
    """

    frame: Frame
    verdict: Verdict
    parts: tuple[Part, ...]
    judged: Judged
    pixels: int


class Change(NamedTuple):
    """What changed in a frame.

    Attributes:
        touched: its pixels that changed.
        refused: parts given back as they were because the network's output was not sane there.
    """

    touched: int
    refused: int


class Restorer:
    """Runs a network on frames of one size.

    A network that judges blur against the mean of the whole picture (LMD-ViT) is shown a whole
    frame first and another one every :data:`REFRESH` frames; the parts between are judged by the
    means of that frame, which a static camera hardly changes.

    Args:
        deblurrer: the engine.
        steering: threshold, strength, and where to deblur whatever the network finds.
        size: height and width of the frames as they are stored.
        turn: degrees counter-clockwise by which they are turned for people, whose boxes and masks
            belong to the turned picture.

    Raises:
        InputError: wishes that do not fit the frames, or frames that do not fit into memory.
    """

    def __init__(
        self, deblurrer: Deblurrer, steering: Steering, size: tuple[int, int], turn: int = 0
    ) -> None:
        self.deblurrer = deblurrer
        self.steering = steering
        self.size = size
        self.judged = Judged()
        quarters = turn // 90 % 4
        region = steering.region(*(size[::-1] if quarters % 2 else size))
        self.region = None
        if region is not None:
            self.region = torch.from_numpy(np.rot90(region, -quarters).copy())
        _check_memory(deblurrer, size)

    def see(self, frame: Frame, moving: Tensor) -> Seen:
        """Show the network what moves in a frame: ``moving`` is bool [H / 4, W / 4]."""
        wanted = moving if self.region is None else cells_of(self.region)
        whole = Box(0, 0, *self.size)
        boxes = parts(wanted, *self.size, self.deblurrer.network.size_step, self._margin)
        if boxes and self._is_due(frame.number):
            boxes = [whole]
        sure, likely = torch.zeros_like(wanted), torch.zeros_like(wanted)
        made = []
        for box in boxes:
            rgb = to_rgb(planes_of(frame.picture), frame.coding, box)
            part, out = self._run(box, rgb, self.region)
            made.append(part)
            for cells, keep in zip((sure, likely), self._kept(out, box), strict=True):
                cells[_place(box)] |= cells_of(keep)
            if box == whole and self._judges_by_means:
                self.judged = Judged(tuple(mean.cpu() for mean in out.means), frame.number)
        verdict = Verdict(sure & wanted, likely & wanted, wanted)
        return Seen(frame, verdict, tuple(made), self.judged, sum(box.area for box in boxes))

    def apply(self, seen: Seen, kept: tuple[Tensor, Tensor, Tensor]) -> Change:
        """Put what was made of a frame into it.

        The change fades in and out over a frame, as far as the network has computed there.

        Args:
            seen: the frame; its picture is changed in place.
            kept: cells to deblur in the frame before, in this and in the one after.
        """
        touched = refused = 0
        for part in seen.parts:
            weight = self._weight(part.box, seen.verdict.likely, kept) * self.steering.strength
            inner = _bounds(weight, part.box)
            if inner is None:
                continue
            box, own = inner
            composite = compose(part.rgb[own], part.restored[:, own[0], own[1]], weight[own])
            refused += composite.refused
            if not composite.touched.any():
                continue
            if not touched:
                seen.frame.picture.make_writable()
            touched += int(composite.touched.sum())
            change = (composite.rgb.astype(np.float32) - part.rgb[own]) / 65535
            add_change(
                planes_of(seen.frame.picture),
                seen.frame.coding,
                box,
                torch.from_numpy(change).permute(2, 0, 1),
            )
        return Change(touched, refused)

    # --- the network ---

    @property
    def _judges_by_means(self) -> bool:
        return isinstance(self.deblurrer.network, LMDViT) and bool(
            self.deblurrer.network.predictor_places
        )

    @property
    def _margin(self) -> int:
        network = self.deblurrer.network
        return MARGIN if isinstance(network, LMDViT) else network.surroundings

    def _is_due(self, number: int) -> bool:
        if self.region is not None or not self._judges_by_means:
            return False
        return not self.judged.means or number - self.judged.number >= REFRESH

    def _run(self, box: Box, rgb: np.ndarray, region: Tensor | None) -> tuple[Part, Any]:
        image = torch.from_numpy(rgb.astype(np.float32) / 65535).permute(2, 0, 1)[None]
        wishes: dict[str, Any] = {}
        network = self.deblurrer.network
        if isinstance(network, LMDViT):
            wishes["threshold"] = DOUBT * self.steering.threshold
            if region is not None:
                mask = region[_slices(box)].float()[None, None]
                wishes["decisions"] = mask.to(self.deblurrer.device)
            elif self.judged.means and box != Box(0, 0, *self.size):
                wishes["means"] = [mean.to(self.deblurrer.device) for mean in self.judged.means]
        out = self.deblurrer.restore(image, **wishes)
        return Part(box, rgb, out.restored[0].float().cpu()), out

    def _kept(self, out: Any, box: Box) -> tuple[Tensor, Tensor]:
        """Pixels of a part of which the network is sure, and those that are likely: bool [H, W]."""
        network = self.deblurrer.network
        if self.region is not None:
            return self.region[_slices(box)], self.region[_slices(box)]
        height, width = box.bottom - box.top, box.right - box.left
        if not isinstance(network, LMDViT):
            everything = last_kept(network, (), height, width)
            return everything, everything
        likely = last_kept(network, out.keep, height, width).cpu()
        window = network.config.window_size
        sure = tuple(
            decide(window_scores(scores, window, shift), self.steering.threshold)[:, None]
            for scores, (_, shift) in zip(out.scores, network.predictor_places, strict=True)
        )
        return last_kept(network, sure, height, width).cpu(), likely

    def _weight(self, box: Box, computed: Tensor, kept: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Weight of the change in a part: float [H, W]."""
        if self.region is not None:
            return region_weight(self.region)[_slices(box)]
        before, own, after = (kept_weight(pixels_of(cells, box)) for cells in kept)
        steadied = torch.maximum(own, FADE * torch.maximum(before, after))
        return torch.minimum(steadied, kept_weight(pixels_of(computed, box)))


def _check_memory(deblurrer: Deblurrer, size: tuple[int, int]) -> None:
    room = available_memory(deblurrer.device)
    needed = size[0] * size[1] * deblurrer.bytes_per_pixel()
    if room is not None and needed > USABLE_MEMORY * room:
        raise InputError(
            f"A frame of {size[1]}x{size[0]} pixels needs {needed / 2**30:.1f} GiB, and "
            f"{room / 2**30:.1f} GiB are free on {deblurrer.device}: close other programs, or "
            "choose a smaller model."
        )


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box.top, box.bottom), slice(box.left, box.right)


def _place(box: Box) -> tuple[slice, slice]:
    """The cells of a part."""
    return (
        slice(box.top // CELL, -(-box.bottom // CELL)),
        slice(box.left // CELL, -(-box.right // CELL)),
    )


def _bounds(weight: Tensor, box: Box) -> tuple[Box, tuple[slice, slice]] | None:
    """The least part, in the frame and in the box, that holds all weight; None without any."""
    rows, columns = (weight > 0).any(dim=1).nonzero(), (weight > 0).any(dim=0).nonzero()
    if not len(rows):
        return None
    top, left = int(rows[0]) // 2 * 2, int(columns[0]) // 2 * 2
    bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
    inner = Box(box.top + top, box.left + left, box.top + bottom, box.left + right)
    return inner, (slice(top, bottom), slice(left, right))

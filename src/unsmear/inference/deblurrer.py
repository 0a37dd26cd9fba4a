"""The engine behind the library and the command: decode, network, composite."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unsmear import __version__
from unsmear.errors import InputError
from unsmear.images import Picture, read_picture
from unsmear.inference.composite import compose, kept_weight, region_weight
from unsmear.inference.report import KeptWindows, Report
from unsmear.inference.restoration import (
    Progress,
    Request,
    Restoration,
    restore_whole,
)
from unsmear.inference.steering import Steering
from unsmear.inference.tiles import restore_tiled
from unsmear.models import DEFAULT_MODEL, DeblurringNetwork, load_model
from unsmear.models.cost import network_cost
from unsmear.runtime import available_memory, resolve_device, resolve_dtype

Photo = Picture | Image.Image | np.ndarray | str | Path

SMALLEST_TILE = 512
USABLE_MEMORY = 0.8


@dataclass(frozen=True, eq=False)
class Deblurred:
    """A deblurred picture.

    Attributes:
        picture: like the input in every respect, but for the pixels in ``touched``.
        blur_map: (H, W) float32 in [0, 1], confidence that a pixel is blurred.
        touched: (H, W) bool, pixels that changed.
        report: the figures.
    """

    picture: Picture
    blur_map: np.ndarray
    touched: np.ndarray
    report: Report


class Deblurrer:
    """Removes motion blur from photos; the outer door takes photos, the inner one tensors.

    Args:
        model: a bundled name, a checkpoint's path, or a network, which is itself brought to the
            device, to the number type and into eval mode.
        device: "auto", "cpu", "cuda", "mps", one of several such as "cuda:1", or torch's own.
        dtype: "auto", "float32", "bfloat16", "float16", or torch's own; "auto" takes bfloat16
            where it is fast.
        tile: side in pixels of tiles to work in, rounded up to whole windows. None works on the
            whole picture where memory allows it, and else in tiles as large as fit.

    Raises:
        InputError: a device or number type that is not to be had, or a tile below 1.
        ModelError: no such model.
    """

    def __init__(
        self,
        model: str | Path | DeblurringNetwork = DEFAULT_MODEL,
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        tile: int | None = None,
    ) -> None:
        self.device = resolve_device(device)
        self.dtype = resolve_dtype(dtype, self.device)
        given = isinstance(model, DeblurringNetwork)
        self.model_name = type(model).__name__ if given else str(model)
        network = model if given else load_model(model)
        self.network = network.to(self.device, self.dtype).eval()
        if tile is not None and not (isinstance(tile, Integral) and tile >= 1):
            raise InputError(f"A tile has a whole number of pixels a side, from 1, got {tile!r}.")
        step = self.network.size_step
        self.tile = None if tile is None else -(-tile // step) * step

    def restore(self, blurred: Tensor, **wishes: Any) -> Any:
        """Run the network alone: [B, 3, H, W] in [0, 1] -> what it returns, on its device.

        ``wishes`` are further arguments of its ``forward``, such as ``threshold``.

        Raises:
            InputError: the network has been put into train mode.
        """
        self._check_mode()
        with torch.inference_mode(), self.device:
            return self.network(blurred.to(self.device), **wishes)

    def deblur(
        self, photo: Photo, steering: Steering | None = None, progress: Progress | None = None
    ) -> Deblurred:
        """Deblur one photo.

        Args:
            photo: a file's path, a decoded picture, a PIL image or an array (H, W[, 1-4]).
            steering: the user's wishes.
            progress: told the share that is done, in [0, 1], now and then.

        Raises:
            InputError: a photo that cannot be read, wishes that do not fit it, or a network that
                has been put into train mode.
        """
        self._check_mode()
        picture, steering = _as_picture(photo), steering or Steering()
        if steering.budget and not self.network.takes_budget:
            raise InputError(
                f"{self.model_name} samples no pixels and has no budget to change; leave it out, "
                "or choose a model that samples."
            )
        height, width = picture.rgb.shape[:2]
        region = steering.region(height, width)
        wanted = None if region is None else torch.from_numpy(region)
        started = time.perf_counter()
        request = Request(steering.threshold, wanted, steering.dense, steering.budget)
        with torch.device("cpu"):  # what is worked out around the network, whatever the default
            result = self._restore(as_tensor(picture.rgb), request, progress)
            return self.finish(picture, result, steering, started, wanted)

    def finish(
        self,
        picture: Picture,
        result: Restoration,
        steering: Steering,
        started: float,
        region: Tensor | None = None,
    ) -> Deblurred:
        """Put what the network made of a picture into it: what `deblur` ends with.

        Args:
            picture: the input.
            result: what the network made of it.
            steering: the user's wishes.
            started: when the work on it began, by `time.perf_counter`.
            region: bool [H, W], the part that `steering` confines the change to, if any.
        """
        weight = self._weight(result, region, steering) * steering.strength
        made = compose(picture.rgb, result.restored, weight)
        messages = []
        if made.refused:
            messages.append(
                f"the network's output was not sane in {made.refused} part(s) of the picture; "
                "these were left as they were"
            )
            warnings.warn(messages[-1], stacklevel=3)
        spent = time.perf_counter() - started
        report = self._report(result, made.touched, spent, steering.budget, messages)
        return Deblurred(
            picture.with_rgb(made.rgb, made.touched),
            result.blur_map.numpy(),
            made.touched,
            report,
        )

    def deblur_many(
        self, photos: Iterable[Photo], steering: Steering | None = None
    ) -> Iterable[Deblurred]:
        """Deblur photos one after the other, each when it is asked for.

        Raises:
            InputError: at once where a single photo is given, else as :meth:`deblur`.
        """
        if _is_one_photo(photos):
            raise InputError(
                f"deblur_many() takes several photos, got one photo, a {type(photos).__name__}: "
                "put it into a list, or call deblur()."
            )
        return (self.deblur(photo, steering) for photo in photos)

    def _check_mode(self) -> None:
        if self.network.training:
            raise InputError(
                "The network has been put into train mode, in which windows are kept by chance; "
                "call its eval() first."
            )

    def _weight(self, result: Restoration, region: Tensor | None, steering: Steering) -> Tensor:
        if region is not None:
            return region.float() if steering.whole else region_weight(region)
        if steering.whole or steering.dense:
            return torch.ones_like(result.blur_map)
        return kept_weight(result.shown)

    # --- memory ---

    def _restore(self, image: Tensor, request: Request, progress: Progress | None) -> Restoration:
        """Whole where memory allows it, else in tiles, halved whenever they do not fit either."""
        tile = self.tile or self._fitting_tile(*image.shape[-2:])
        while True:
            try:
                if tile is None or tile >= max(image.shape[-2:]):
                    return restore_whole(self.network, image, request, progress)
                return restore_tiled(self.network, image, request, tile, progress)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
            step = self.network.size_step
            side = min(tile or max(image.shape[-2:]), max(image.shape[-2:]))
            smaller = -(-side // (2 * step)) * step
            if smaller >= side or smaller < SMALLEST_TILE:
                raise InputError(
                    f"The memory of {self.device} does not suffice even for tiles of {side} "
                    "pixels; close other programs, or choose a smaller model."
                )
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            tile = smaller

    def bytes_per_pixel(self) -> int:
        """Memory that a picture takes at its peak for each of its pixels."""
        features = self.network.features_per_pixel * self.dtype.itemsize
        return features + 120  # input, padded input, output, gate, scores and maps in float32

    def _fitting_tile(self, height: int, width: int) -> int | None:
        room = available_memory(self.device)
        if room is None:
            return None
        pixels = int(USABLE_MEMORY * room / self.bytes_per_pixel())
        if pixels >= (height + 127) * (width + 127):
            return None
        step = self.network.size_step
        side = int(pixels**0.5) - 2 * self.network.surroundings
        return max(SMALLEST_TILE, side // step * step)

    # --- figures ---

    def _report(
        self,
        result: Restoration,
        touched: np.ndarray,
        seconds: float,
        budget: float,
        messages: list[str],
    ) -> Report:
        height, width = touched.shape
        cost = network_cost(self.network, height, width)
        spent = network_cost(self.network, height, width, budget) if budget else cost
        shares = [[1.0, 1.0] for _ in cost.stages]
        places = self.network.predictor_places
        kept = []
        for (stage, shift), (count, windows) in zip(places, result.windows, strict=True):
            shares[stage - 1][1 if shift else 0] = count / windows
            kept.append(KeptWindows(stage, shift, count, windows))
        return Report(
            width=width,
            height=height,
            blurred_fraction=float(result.kept.float().mean()),
            touched_fraction=np.count_nonzero(touched) / touched.size,
            kept_windows=tuple(kept),
            multiply_adds_dense=cost.dense,
            multiply_adds_spent=spent.spent([(a, b) for a, b in shares]),
            seconds=seconds,
            model=self.model_name,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            tiles=result.tiles,
            version=__version__,
            warnings=tuple(messages),
        )


def _is_one_photo(photos: Any) -> bool:
    """Whether it is a photo by itself; an array (N, H, W[, 1-4]) is several."""
    if isinstance(photos, np.ndarray):
        return photos.ndim < 3 or (photos.ndim == 3 and photos.shape[2] <= 4)
    return isinstance(photos, Picture | Image.Image | str | os.PathLike)


def _as_picture(photo: Photo) -> Picture:
    if isinstance(photo, Picture):
        return photo
    if isinstance(photo, Image.Image):
        return Picture.from_pil(photo)
    if isinstance(photo, np.ndarray):
        return Picture.from_array(photo)
    if isinstance(photo, str | os.PathLike):
        return read_picture(Path(photo))
    raise InputError(
        "A photo is a path, a Picture, a PIL image or a NumPy array of integers, got "
        f"{type(photo).__name__}."
    )


def as_tensor(rgb: np.ndarray) -> Tensor:
    """(H, W, 3) integers -> float32 [3, H, W] in [0, 1]."""
    return torch.from_numpy(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max).permute(2, 0, 1)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text

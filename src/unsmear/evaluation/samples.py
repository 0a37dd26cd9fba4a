"""The pictures to evaluate on: a data set on disk, or the project's held-out samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from unsmear.data import validation_samples
from unsmear.data.sources import FileSource, Pair, PairFiles, PairSource, open_source
from unsmear.errors import InputError
from unsmear.evaluation.quality import UNKNOWN, Quality, mean_quality, measure, measure_aligned
from unsmear.metrics.ssim import WINDOW

SYNTHETIC = "synthetic:"
SYNTHETIC_OPTIONS = frozenset({"count", "size", "seed"})
VALIDATION_SPLIT = "configs/validation_split.yaml"


class Sample(NamedTuple):
    """One pair, ready for a network.

    Attributes:
        name: as in its source.
        blurred: [1, 3, H, W] float32 RGB in [0, 1].
        sharp: likewise.
        blur_mask: [1, 1, H, W] float32 of 0 and 1; None where there is none.
        given: how near the blurred picture is to the sharp one.
        two_cameras: whether the pictures must be aligned before they are compared.
    """

    name: str
    blurred: Tensor
    sharp: Tensor
    blur_mask: Tensor | None
    given: Quality
    two_cameras: bool = False

    def quality(self, picture: Tensor) -> Quality:
        """How near a picture [1, 3, H, W] in [0, 1] is to the sharp one."""
        if self.two_cameras:
            return measure_aligned(picture, self.sharp)
        return measure(picture, self.sharp, self.blur_mask)

    def to(self, device: torch.device) -> Sample:
        """The same on a device."""
        mask = self.blur_mask
        return self._replace(
            blurred=self.blurred.to(device),
            sharp=self.sharp.to(device),
            blur_mask=None if mask is None else mask.to(device),
        )

    @property
    def is_blurred(self) -> bool:
        """Whether there is a mask with something in it."""
        return self.blur_mask is not None and bool(self.blur_mask.any())


class SyntheticSource(PairSource):
    """The held-out samples of :func:`validation_samples`, as pairs.

    Args:
        folder: holds ``stills/`` and ``objects/``.
        split: YAML file with the names of what no network is trained on, or "tenth".
        **numbers: `count`, `size` and `seed` of :func:`validation_samples`.

    Raises:
        InputError: material is missing, or a number is out of range.
    """

    layout = "synthetic"

    def __init__(
        self, folder: str | Path, split: str | Path = VALIDATION_SPLIT, **numbers: int
    ) -> None:
        self._samples = validation_samples(folder, split, **numbers)
        self.names = tuple(
            f"{number:02d}-{kind}" for number, kind in enumerate(self._samples.kinds)
        )

    def __getitem__(self, index: int) -> Pair:
        """Make one pair."""
        blurred, sharp, blur_mask = self._samples[index]
        blurred, sharp = (each.mul(255).round().to(torch.uint8) for each in (blurred, sharp))
        return Pair(self.names[index], blurred, sharp, blur_mask.to(torch.uint8))


def open_pairs(
    data: str,
    layout: str = "auto",
    split: str | None = None,
    options: Mapping[str, str] | None = None,
) -> PairSource:
    """Open what ``--data`` names: a data set's folder, or "synthetic:FOLDER".

    Args:
        data: the place.
        layout: see :func:`open_source`.
        split: "train" or "test" of a data set; None takes "test" where there is one, else all. Of
            synthetic samples the YAML file that names what is held out, or "tenth".
        options: of the layout, see :func:`open_source`; of synthetic samples `count`, `size` and
            `seed`, whole numbers.

    Raises:
        InputError: it is not there, of no known layout, or has no such option.
    """
    options = options or {}
    if data.startswith(SYNTHETIC):
        folder = data.removeprefix(SYNTHETIC)
        return SyntheticSource(folder, split or VALIDATION_SPLIT, **_numbers(options))
    source = open_source(data, layout=layout, split=split, **options)
    if split is None and any(name.startswith("test/") for name in source.names):
        return open_source(data, layout=layout, split="test", **options)
    return source


def _numbers(options: Mapping[str, str]) -> dict[str, int]:
    if unknown := sorted(options.keys() - SYNTHETIC_OPTIONS):
        known = ", ".join(sorted(SYNTHETIC_OPTIONS))
        raise InputError(f"synthetic samples have no option {unknown[0]!r}: they have {known}")
    for name, value in options.items():
        if not (value.isascii() and value.isdecimal()):
            raise InputError(f"{name}={value!r}: give a whole number from 0")
    return {name: int(value) for name, value in options.items()}


class Samples:
    """Pairs one after the other, read anew for each who asks; the input is measured once.

    Args:
        source: the pairs.
        limit: take only so many, the first.

    Raises:
        InputError: no pairs, a limit below 1, or files that are not there.
    """

    def __init__(self, source: PairSource, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise InputError(f"--limit is a number of pictures from 1, got {limit}.")
        self.source = source
        self._count = min(len(source), len(source) if limit is None else limit)
        self._given: dict[int, Quality] = {}
        if not self._count:
            raise InputError("There are no pairs to evaluate on: name a folder that holds some.")
        if isinstance(source, FileSource):
            _refuse_missing(source.files[: self._count])

    def __len__(self) -> int:
        """Give the number of pairs."""
        return self._count

    def __iter__(self) -> Iterator[Sample]:
        """Read each pair."""
        for index in range(self._count):
            yield self._read(index)

    def input_quality(self) -> Quality:
        """Mean over the blurred pictures that were read so far."""
        return mean_quality(self._given.values())

    def _read(self, index: int) -> Sample:
        pair = self.source[index]
        if min(pair.sharp.shape[-2:]) < WINDOW:
            size = f"{pair.sharp.shape[-1]}x{pair.sharp.shape[-2]}"
            raise InputError(
                f"{pair.name} has {size} pixels, and SSIM needs {WINDOW} a side: leave it out."
            )
        blurred, sharp = (each[None].float() / 255 for each in (pair.blurred, pair.sharp))
        blur_mask = None if pair.blur_mask is None else pair.blur_mask[None].float()
        two_cameras = self.source.layout == "realblur"
        sample = Sample(pair.name, blurred, sharp, blur_mask, UNKNOWN, two_cameras)
        if index not in self._given:
            self._given[index] = sample.quality(blurred)
        return sample._replace(given=self._given[index])


def _refuse_missing(files: Sequence[PairFiles]) -> None:
    """Find before hours of work what can be found without reading a picture."""
    missing = [path for pair in files for path in pair.missing]
    if missing:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        raise InputError(
            f"{missing[0]}{more} not there: 'unsmear data check' lists what is missing; add it, or "
            "remove what it belongs to."
        )

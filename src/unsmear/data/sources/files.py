"""Pairs of picture files, whatever the tree they lie in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unsmear.data.sources.source import Pair, PairSource
from unsmear.errors import InputError
from unsmear.images import SUPPORTED_SUFFIXES, read_picture
from unsmear.images.samples import to_eight_bit

# Share of a mask's brightest value above which a pixel counts as blurred: masks of 0 and 1, of 0
# and 255, of one palette colour and with soft or compressed edges all come out as they were meant.
HALF = 0.5


class PairFiles(NamedTuple):
    """Where a pair lies; a file that should be there is named whether it is or not.

    Attributes:
        name: unique in its source.
        blurred: the blurred picture.
        sharp: the sharp picture.
        blur_mask: its mask; None where the data set has none.
    """

    name: str
    blurred: Path
    sharp: Path
    blur_mask: Path | None = None

    @property
    def missing(self) -> tuple[Path, ...]:
        """The files that are not there."""
        return tuple(path for path in self[1:] if path is not None and not path.is_file())


class FileSource(PairSource):
    """Pairs of files.

    Args:
        layout: see `PairSource`.
        files: the pairs, in any order.
        load: reads the files of one pair; their sizes may differ.

    Attributes:
        files: the pairs, sorted by name.

    Raises:
        InputError: two pairs have one name.
    """

    def __init__(
        self,
        layout: str,
        files: Iterable[PairFiles],
        load: Callable[[PairFiles], Pair] | None = None,
    ) -> None:
        self.layout = layout
        self.files = tuple(sorted(files, key=lambda pair: pair.name))
        self.names = tuple(pair.name for pair in self.files)
        self._load = load or load_pictures
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise InputError(f"two pairs are named {twice[0]!r}: rename one of them")

    def load(self, index: int) -> Pair:
        """Read one pair as it lies there, even if its pictures differ in size.

        Raises:
            IndexError: there is no such pair.
            InputError: a file of it is missing or cannot be read.
        """
        return self._load(self.files[index])

    def __getitem__(self, index: int) -> Pair:
        """Read one pair, see `PairSource`."""
        pair = self.load(index)
        if problem := size_problem(pair):
            raise InputError(f"{pair.name}: {problem}: bring them to one size, or remove the pair")
        return pair


def load_pictures(files: PairFiles, mask_above: float = HALF) -> Pair:
    """Read a pair of picture files.

    Args:
        files: where it lies.
        mask_above: see `load_mask`.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    mask = None if files.blur_mask is None else load_mask(files.blur_mask, mask_above)
    return Pair(files.name, load_rgb(files.blurred), load_rgb(files.sharp), mask)


def load_rgb(path: Path) -> Tensor:
    """Read a picture: [3, H, W] uint8, RGB; 16 bits are rounded to 8.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    rgb = read_picture(path).rgb
    if rgb.dtype == np.uint16:
        rgb = to_eight_bit(rgb)
    return torch.from_numpy(np.array(rgb.transpose(2, 0, 1), order="C"))


def load_mask(path: Path, above: float = HALF) -> Tensor:
    """Read a mask: [1, H, W] uint8 of 0 and 1.

    Args:
        path: a picture; its brightest channel counts.
        above: share of the brightest value above which a pixel is 1; 0 takes all that is not
            black.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    grey = load_rgb(path).amax(dim=0, keepdim=True)
    return (grey > above * int(grey.max())).to(torch.uint8)


def size_problem(pair: Pair) -> str | None:
    """Say which sizes of a pair differ; None where they do not."""
    pictures = {"blurred": pair.blurred, "sharp": pair.sharp, "mask": pair.blur_mask}
    sizes = {
        name: f"{picture.shape[-1]}x{picture.shape[-2]} px"
        for name, picture in pictures.items()
        if picture is not None
    }
    if len(set(sizes.values())) == 1:
        return None
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture we read."""
    return path.suffix.lower() in SUPPORTED_SUFFIXES and not path.name.startswith(".")


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in a folder and below it, hidden ones left out, in the order of their names."""
    return sorted(
        path
        for path in folder.rglob("*")
        if is_picture(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def by_name(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Files by their paths from a folder, without the endings: twins may differ in those.

    Raises:
        InputError: two files differ in their endings alone.
    """
    files: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise InputError(f"{files[name]} and {path} stand for the same: remove one of them")
        files[name] = path
    return files

"""What every data set on disk looks like to the rest: named triples of blurred, sharp, mask."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor


class Pair(NamedTuple):
    """One pair of a data set as it lies on disk.

    Attributes:
        name: unique in its source, without a suffix: "scene/07".
        blurred: [3, H, W] uint8, RGB.
        sharp: [3, H, W] uint8, RGB.
        blur_mask: [1, H, W] uint8 of 0 and 1, 1 where the blurred picture is blurred; None where
            the data set has no masks.
    """

    name: str
    blurred: Tensor
    sharp: Tensor
    blur_mask: Tensor | None


class PairSource(ABC):
    """Pairs of one data set, opened lazily.

    Attributes:
        layout: name of the layout, "reloblur", "gopro", "hide", "realblur" or "folder".
        names: name of every pair, sorted; their number is the source's length.
    """

    layout: str
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Give the number of pairs."""
        return len(self.names)

    @abstractmethod
    def __getitem__(self, index: int) -> Pair:
        """Read one pair.

        Raises:
            IndexError: there is no such pair.
            InputError: a file of it is missing or cannot be read, or sizes differ.
        """

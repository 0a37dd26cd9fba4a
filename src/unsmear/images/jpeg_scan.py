"""The coefficients of a JPEG, as its scans hold them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unsmear.images.jpeg_segments import Segment

BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2  # markers of frames


class Unkept(Exception):  # noqa: N818 - it never leaves this package
    """Why the coefficients of a file cannot be had."""


@dataclass(frozen=True)
class Component:
    """One of a picture's planes of samples.

    Attributes:
        across: Blocks of it side by side in a unit.
        down: Blocks of it above each other in a unit.
        table: The number of its quantisation table.
        dc: The number of its Huffman table for first coefficients.
        ac: The same for the others.
    """

    across: int
    down: int
    table: int
    dc: int
    ac: int


@dataclass(frozen=True, eq=False)
class Scan:
    """All coefficients of a picture.

    Attributes:
        header: The frame's segment.
        selection: The header, without marker and length, of a scan that holds all of them.
        components: In the order of the scan, which is that of the frame.
        tables: Each component's quantisation table, (64,) in zigzag order.
        blocks: (rows, columns, S, 64) int16, quantised coefficients in zigzag order, for each unit
            (MCU) the S blocks of all components, of each row by row.
    """

    header: Segment
    selection: bytes
    components: tuple[Component, ...]
    tables: tuple[np.ndarray, ...]
    blocks: np.ndarray

    @property
    def unit(self) -> tuple[int, int]:
        """Blocks of the finest component that a unit is high and wide."""
        return max(c.down for c in self.components), max(c.across for c in self.components)

    def grids(self) -> list[np.ndarray]:
        """Each component's blocks as they lie in the picture, (R, C, 64); copies."""
        rows, columns = self.blocks.shape[:2]
        slots = slots_of(self.components)
        grids = []
        for i, each in enumerate(self.components):
            mine = self.blocks[:, :, slots == i]
            mine = mine.reshape(rows, columns, each.down, each.across, 64).swapaxes(1, 2)
            grids.append(mine.reshape(rows * each.down, columns * each.across, 64))
        return grids

    def with_grids(self, grids: Sequence[np.ndarray]) -> Scan:
        """The same with other blocks; what `grids` takes apart, put together again."""
        units = []
        for grid, each in zip(grids, self.components, strict=True):
            rows, columns = grid.shape[0] // each.down, grid.shape[1] // each.across
            mine = grid.reshape(rows, each.down, columns, each.across, 64).swapaxes(1, 2)
            units.append(mine.reshape(rows, columns, -1, 64))
        return replace(self, blocks=np.concatenate(units, axis=2))


def units_in(header: Segment, components: Sequence[Component]) -> tuple[int, int]:
    """Rows and columns of a frame's units."""
    height, width = struct.unpack_from(">HH", header.payload, 1)
    down, across = (max(getattr(each, of) for each in components) for of in ("down", "across"))
    return -(-height // (8 * down)), -(-width // (8 * across))


def shown_in(header: Segment, components: Sequence[Component]) -> list[tuple[int, int]]:
    """Rows and columns of each component's blocks that hold something of the picture.

    Units may have more, beyond its border; scans of one component have none of those.
    """
    height, width = struct.unpack_from(">HH", header.payload, 1)
    down, across = (max(getattr(each, of) for each in components) for of in ("down", "across"))
    return [
        (-(-height * each.down // (8 * down)), -(-width * each.across // (8 * across)))
        for each in components
    ]


def slots_of(components: Sequence[Component]) -> np.ndarray:
    """The index of the component of each block of a unit, (S,)."""
    return np.repeat(np.arange(len(components)), [each.across * each.down for each in components])


def _zigzag() -> np.ndarray:
    row, column = np.divmod(np.arange(64), 8)
    diagonal = row + column
    return np.lexsort((np.where(diagonal % 2, row, column), diagonal))


ZIGZAG = _zigzag()
"""(64,) for each coefficient of the zigzag order its place in a block read row by row."""

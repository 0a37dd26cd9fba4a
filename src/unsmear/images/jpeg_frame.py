"""What the headers of a JPEG say of its coefficients, and the bytes of a scan."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from unsmear.images.jpeg_huffman import tables_in, usual_tables
from unsmear.images.jpeg_scan import Component, Unkept
from unsmear.images.jpeg_segments import DHT, DQT, DRI, Segment


class Tables:
    """What segments have defined for the scans that follow them.

    Attributes:
        huffman: By class (0 DC, 16 AC) plus number; the usual ones until others are defined.
        quantisation: By number, (64,) in zigzag order.
        restart: Units between restart markers; 0 where there are none.
    """

    def __init__(self) -> None:
        self.huffman = dict(usual_tables())
        self.quantisation: dict[int, np.ndarray] = {}
        self.restart = 0

    def define(self, segments: Sequence[Segment]) -> None:
        """Take in what some segments define."""
        for segment in segments:
            if segment.marker == DHT:
                self.huffman.update(tables_in(segment.payload))
            elif segment.marker == DQT:
                self.quantisation.update(_quantisation_in(segment.payload))
            elif segment.marker == DRI:
                self.restart = struct.unpack(">H", segment.payload)[0]


def _quantisation_in(payload: bytes) -> dict[int, np.ndarray]:
    tables = {}
    at = 0
    while at < len(payload):
        depth, number = divmod(payload[at], 16)
        kind = np.dtype(">u2" if depth else np.uint8)
        tables[number] = np.frombuffer(payload, kind, 64, at + 1).astype(np.float32)
        at += 1 + 64 * kind.itemsize
    return tables


def components_in(header: Segment, huffman: Sequence[tuple[int, int]]) -> tuple[Component, ...]:
    """The components of a frame.

    Args:
        header: The frame's segment.
        huffman: For each of them the numbers of its tables for first and other coefficients.

    Raises:
        Unkept: The sizes of components have no whole ratio.
    """
    components = []
    for i, (dc, ac) in enumerate(huffman):
        factors, table = header.payload[7 + 3 * i : 9 + 3 * i]
        # A single component's factors mean nothing: its units are blocks.
        across, down = (factors >> 4, factors & 15) if len(huffman) > 1 else (1, 1)
        components.append(Component(across, down, table, dc, ac))
    for counts in zip(*((each.across, each.down) for each in components), strict=True):
        if any(max(counts) % each for each in counts):
            raise Unkept("the sizes of its components have no whole ratio")
    return tuple(components)


def unstuffed(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Take the markers and the zeros that keep data from looking like markers out of a scan.

    Args:
        raw: Bytes from the scan's first on, to the file's end.

    Returns:
        The bytes; where the pieces between restart markers begin and the last one ends; and where
        in `raw` the marker stands that ends the scan.
    """
    at = np.flatnonzero(raw[:-1] == 0xFF)
    after = raw[at + 1]
    is_restart = (after >= 0xD0) & (after <= 0xD7)
    end = at[(after != 0) & ~is_restart][0]
    inside = at < end
    restarts, at = at[inside & is_restart], at[inside]
    keep = np.ones(end, bool)
    keep[at + 1] = False
    keep[restarts] = False
    starts = np.cumsum(keep)[restarts]
    return raw[:end][keep], np.concatenate([[0], starts, [np.count_nonzero(keep)]]), int(end)


def add_up_first(firsts: np.ndarray, slots: np.ndarray, restart: int) -> None:
    """Turn first coefficients from differences to values, in place.

    Args:
        firsts: (units, S) int16.
        slots: (S,) the component of each block of a unit.
        restart: After how many units differences begin anew.
    """
    units = np.arange(len(firsts))
    anew = units - units % restart
    for component in np.unique(slots):
        mine = slots == component
        differences = firsts[:, mine].astype(np.int64)
        sums = np.cumsum(differences).reshape(differences.shape)
        before = sums[anew, 0] - differences[anew, 0]
        firsts[:, mine] = sums - before[:, None]

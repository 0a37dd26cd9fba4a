"""Reading the coefficients of a baseline JPEG from the bits of its scan.

Codes of varying length have to be read one after the other, far too slow for a large photo in
Python. Here thousands of readers ("lanes") go through the bits side by side, each an equal piece of
them, and numpy moves them all on by one symbol at a time. Only the first knows where a symbol
begins; the others guess. A wrong guess soon falls into step, because Huffman codes synchronise
themselves: where a lane ends is then right although its beginning was not, and its neighbour goes
again from there, until each begins where the one before it ends.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from unsmear.images.jpeg_frame import Tables, add_up_first, components_in, unstuffed
from unsmear.images.jpeg_huffman import LONGEST, HuffmanTable
from unsmear.images.jpeg_scan import Scan, Unkept, slots_of, units_in
from unsmear.images.jpeg_segments import Segment, split

_LANES = 4096
_SHORTEST_LANE = 1024  # bits; fewer would seldom be enough to fall into step
_STEPS = 64  # between looks at which lanes are done
_MOST_ROUNDS = 1024

# What is known of the symbol that some bits begin with, packed into one integer:
#   bits 0-4   its length with the value that follows
#   bits 5-9   the length of the value alone
#   bits 10-16 coefficients it moves on by, itself among them; 64 ends the block
#   bit 17     set at the first symbol of a block
_SIZE, _ADVANCE, _FIRST = 5, 10, 17
_END_OF_BLOCK = 64
_NO_CODE = 1 | 15 << _SIZE | 127 << _ADVANCE  # leads beyond the block, which is noticed

_TRAILING_ONES = np.array([((byte ^ (byte + 1)).bit_length() - 1) for byte in range(256)])


def read_baseline(data: bytes, header: Segment) -> Scan:
    """Read the coefficients of a baseline file.

    Args:
        data: The file.
        header: Its frame.

    Raises:
        Unkept: It has several scans, no whole ratio between the components' sizes, or is damaged;
            other errors than that, too, mean damage.
    """
    segments, at = split(data)
    tables = Tables()
    tables.define(segments)
    length = struct.unpack_from(">H", data, at + 2)[0]
    selection = data[at + 4 : at + 2 + length]
    components = components_in(header, _selected(header, selection))
    rows, columns = units_in(header, components)

    units = rows * columns
    restart = tables.restart or units
    slots = slots_of(components)
    expected = np.minimum(restart, units - np.arange(0, units, restart)) * len(slots)
    bits, edges, _ = unstuffed(np.frombuffer(data, np.uint8, offset=at + 2 + length))
    if len(edges) - 1 != len(expected):
        raise Unkept("it has too many restart markers, or too few")
    chosen = [(tables.huffman[each.dc], tables.huffman[16 + each.ac]) for each in components]
    reader = _Reader(bits, [chosen[i] for i in slots])
    blocks = reader.read(edges, expected).reshape(units, len(slots), 64)
    add_up_first(blocks[..., 0], slots, restart)
    quantisation = tuple(tables.quantisation[each.table] for each in components)
    blocks = blocks.reshape(rows, columns, len(slots), 64)
    return Scan(header, selection, components, quantisation, blocks)


def _selected(header: Segment, selection: bytes) -> list[tuple[int, int]]:
    """The numbers of each component's Huffman tables."""
    count = header.payload[5]
    if selection[0] != count:
        raise Unkept("it has several scans")
    if selection[1 : 1 + 2 * count : 2] != header.payload[6 : 6 + 3 * count : 3]:
        raise Unkept("its scan has another order than its frame")
    return [divmod(numbers, 16) for numbers in selection[2 : 2 + 2 * count : 2]]


class _Reader:
    """Lanes through the bits of a scan.

    A lane's place is the bit it is at, and its state: block of the unit times 64 plus coefficient.

    Args:
        data: The scan's bytes, unstuffed.
        tables: For each block of a unit its tables for the first and the other coefficients.
    """

    def __init__(
        self, data: np.ndarray, tables: Sequence[tuple[HuffmanTable, HuffmanTable]]
    ) -> None:
        self.data = data
        ahead = np.append(data, np.zeros(16, np.uint8)).astype(np.int64)
        self.three_bytes = ahead[:-2] << 16 | ahead[1:-1] << 8 | ahead[2:]
        # Which block of a unit it is matters only as far as tables differ; where all are the same
        # nothing would ever tell a lane.
        count = len(tables)
        periods = (n for n in range(1, count + 1) if count % n == 0)
        period = next(n for n in periods if tables[n:] == tables[: count - n])
        distinct = list(dict.fromkeys(tables))
        self.entries = np.concatenate(
            [each for first, other in distinct for each in (_first(first), _other(other))]
        )
        pairs = np.array([distinct.index(pair) for pair in tables[:period]])
        state = np.arange(64 * period)
        self.lookup = (2 * pairs[state >> 6] + ((state & 63) > 0)) << LONGEST
        states, moves = state[:, None], np.arange(128)
        onward = np.where((states & 63) + moves >= 64, (states | 63) + 1, states + moves)
        self.onward = (onward % (64 * period)).ravel()

    def read(self, edges: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Read (blocks, 64) int16 coefficients, first ones as differences.

        Args:
            edges: (P + 1,) where the pieces between restarts begin, and the end, in bytes.
            expected: (P,) blocks in each piece.
        """
        begin, end, is_known = self._lanes(edges)
        state = np.zeros_like(begin)
        here = np.arange(len(begin))
        stop, stop_state, blocks = (np.zeros_like(begin) for _ in range(3))
        for _ in range(_MOST_ROUNDS):
            stop[here], stop_state[here], blocks[here] = self._walk(
                begin[here], state[here], end[here], np.zeros_like(here)
            )
            right = np.where(is_known, begin, np.roll(stop, 1))
            right_state = np.where(is_known, 0, np.roll(stop_state, 1))
            here = np.flatnonzero((right != begin) | (right_state != state))
            if not len(here):
                break
            begin, state = right, right_state
        else:
            raise Unkept("its bits do not synchronise")
        before = np.cumsum(blocks) - blocks
        if not np.array_equal(np.diff(np.append(before[is_known], blocks.sum())), expected):
            raise Unkept("it has too many blocks, or too few")
        if stop_state[np.roll(is_known, -1)].any():
            raise Unkept("it ends inside a block")
        coefficients = np.zeros((expected.sum(), 64), np.int16)
        self._walk(begin, state, end, before - 1, coefficients)
        return coefficients

    def _lanes(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where lanes begin and end, in bits, and which of them know that a block begins there."""
        first, last = edges[:-1], edges[1:] - 1
        if (last < first).any():
            raise Unkept("a piece between restart markers is empty")
        # A piece is filled up with ones; no code has only ones, so what they follow is the end.
        last = np.where((self.data[last] == 0xFF) & (last > first), last - 1, last)
        end = 8 * (last + 1) - _TRAILING_ONES[self.data[last]]
        length = max(_SHORTEST_LANE, 8 * len(self.data) // _LANES)
        lanes = np.maximum(1, -(-(end - 8 * first) // length))
        number = np.arange(lanes.sum()) - np.repeat(np.cumsum(lanes) - lanes, lanes)
        begin = np.repeat(8 * first, lanes) + number * length
        return begin, np.minimum(begin + length, np.repeat(end, lanes)), number == 0

    def _sixteen(self, at: np.ndarray) -> np.ndarray:
        """The 16 bits from each place on."""
        return self.three_bytes[at >> 3] >> (8 - (at & 7)) & 0xFFFF

    def _walk(
        self,
        at: np.ndarray,
        state: np.ndarray,
        end: np.ndarray,
        block: np.ndarray,
        into: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Move lanes on until each is past its end.

        Args:
            at: The bits they begin at.
            state: Their states there.
            end: The bits before which the last symbol of each begins.
            block: The number of the block each is in.
            into: (blocks, 64) int16, where to put the coefficients; None only walks.

        Returns:
            Where they are then, their states, and their blocks.
        """
        lanes = np.arange(len(at))
        stop, stop_state, stop_block = at.copy(), state.copy(), block.copy()
        while len(lanes):
            for _ in range(_STEPS):
                entry = self.entries[self.lookup[state] + self._sixteen(at)]
                entry *= at < end  # an entry of 0 stays where it is
                block = block + (entry >> _FIRST & 1)
                if into is not None:
                    self._put(at, state, entry, block, into)
                at = at + (entry & 31)
                state = self.onward[(state << 7) + (entry >> _ADVANCE & 127)]
            stop[lanes], stop_state[lanes], stop_block[lanes] = at, state, block
            on = np.flatnonzero(at < end)
            lanes, at, state, end, block = lanes[on], at[on], state[on], end[on], block[on]
        return stop, stop_state, stop_block

    def _put(
        self,
        at: np.ndarray,
        state: np.ndarray,
        entry: np.ndarray,
        block: np.ndarray,
        into: np.ndarray,
    ) -> None:
        """Write the coefficients of one step; arguments as in `_walk`."""
        mine = np.flatnonzero(entry & 15 << _SIZE)
        entry = entry[mine]
        size = entry >> _SIZE & 15
        place = (state[mine] & 63) + (entry >> _ADVANCE & 127) - 1
        if place.max(initial=0) > 63:
            raise Unkept("it is damaged")
        value = self._sixteen(at[mine] + (entry & 31) - size) >> (16 - size)
        value -= np.where(value >> (size - 1), 0, (1 << size) - 1)  # negative ones begin with 0
        into[block[mine], place] = value


def _first(table: HuffmanTable) -> np.ndarray:
    """Entries for the symbols of first coefficients, whose sizes they are."""
    size = np.array(table.symbols, np.int64)
    if (size > 15).any():
        raise Unkept("it is damaged")
    entries = (table.lengths() + size) | size << _SIZE | 1 << _ADVANCE | 1 << _FIRST
    return table.by_prefix(entries, _NO_CODE)


def _other(table: HuffmanTable) -> np.ndarray:
    """Entries for the symbols of other coefficients: zeros before it, and its size."""
    zeros, size = np.divmod(np.array(table.symbols, np.int64), 16)
    advance = np.where((size == 0) & (zeros < 15), _END_OF_BLOCK, zeros + 1)
    return table.by_prefix((table.lengths() + size) | size << _SIZE | advance << _ADVANCE, _NO_CODE)

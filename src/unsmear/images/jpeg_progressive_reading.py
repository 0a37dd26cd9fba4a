"""Reading the coefficients of a progressive JPEG from the bits of its scans.

Each scan brings some frequencies without their lowest bits, or one more bit of them. In scans that
refine, how many bits lie between two codes follows from the coefficients that are there already:
a reader that guessed its place would never fall into step, as it does in a baseline file. So codes
are read one after the other here, and nothing but codes: the values between them are noted by
their place, and numpy takes them in the end.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from unsmear.images.jpeg_frame import Tables, add_up_first, components_in, unstuffed
from unsmear.images.jpeg_huffman import LONGEST, HuffmanTable
from unsmear.images.jpeg_scan import Component, Scan, Unkept, shown_in, units_in
from unsmear.images.jpeg_segments import EOI, Segment, split

_LENGTH = 5  # lowest bits of an entry: the length of its code; above them is its symbol
_NO_CODE = LONGEST | 0xFFFF << _LENGTH  # a symbol that none of the readers takes
_ABSENT = 16  # bits that are not there yet of a frequency that no scan has brought


def read_progressive(data: bytes, header: Segment) -> Scan:
    """Read the coefficients of a progressive file.

    Args:
        data: The file.
        header: Its frame.

    Raises:
        Unkept: Scans are missing, or have an order that no encoder makes, there is no whole ratio
            between the components' sizes, or it is damaged; other errors than that, too, mean
            damage.
    """
    segments, at = split(data)
    count = header.payload[5]
    components = components_in(header, [(min(i, 1), min(i, 1)) for i in range(count)])
    planes = _Planes(header, components)
    tables = Tables()
    while True:
        tables.define(segments)
        begin = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        stored, edges, end = unstuffed(np.frombuffer(data, np.uint8, offset=begin))
        planes.read(data[at + 4 : begin], _Bits(stored, edges), tables)
        if data[begin + end + 1] == EOI:
            break
        segments, at = split(data, begin + end)
    if planes.absent.any():
        raise Unkept("it is not complete")
    chosen = bytes(
        byte
        for name, each in zip(planes.names, components, strict=True)
        for byte in (name, each.dc << 4 | each.ac)
    )
    quantisation = tuple(tables.quantisation[each.table] for each in components)
    selection = bytes([count]) + chosen + bytes([0, 63, 0])
    return Scan(header, selection, components, quantisation, np.empty(0)).with_grids(planes.grids)


class _Bits:
    """The bits of a scan, by their number.

    Args:
        stored: Its bytes, unstuffed.
        edges: Where its pieces between restart markers begin, and the end.

    Attributes:
        three_bytes: For each byte itself and the two after it, as one number.
    """

    def __init__(self, stored: np.ndarray, edges: np.ndarray) -> None:
        self._edges = 8 * edges
        ahead = np.append(stored, np.zeros(4, np.uint8)).astype(np.uint32)
        self._three_bytes = ahead[:-2] << 16 | ahead[1:-1] << 8 | ahead[2:]
        self.three_bytes = self._three_bytes.data

    def pieces(self, units: int, restart: int) -> Iterator[tuple[int, int, int]]:
        """The first bit, the first unit, and the unit after the last, of each piece.

        Args:
            units: How many the scan has.
            restart: How many there are between restart markers; 0 where there are no markers.
        """
        firsts = range(0, units, restart or units)
        if len(firsts) != len(self._edges) - 1:
            raise Unkept("it has too many restart markers, or too few")
        for at, first in zip(self._edges[:-1].tolist(), firsts, strict=True):
            yield at, first, min(units, first + (restart or units))

    def values(self, at: np.ndarray, size: np.ndarray) -> np.ndarray:
        """The unsigned numbers of `size` bits, at most 16, from some bits on, (N,) int64."""
        three = self._three_bytes[at >> 3].astype(np.int64)
        return three >> (24 - (at & 7) - size) & ((1 << size) - 1)

    def signed(self, at: np.ndarray, size: np.ndarray) -> np.ndarray:
        """The same as coefficients are written: negative ones begin with 0."""
        value = self.values(at, size)
        return value - np.where(2 * value < 1 << size, (1 << size) - 1, 0)


class _Planes:
    """All coefficients, as far as they are there.

    Args:
        header: The frame's segment.
        components: Its components.

    Attributes:
        names: Of the components.
        grids: For each component (R, C, 64) int16, in zigzag order.
        absent: (components, 64), how many of the lowest bits are not there yet.
    """

    def __init__(self, header: Segment, components: Sequence[Component]) -> None:
        self.names = header.payload[6 : 6 + 3 * len(components) : 3]
        self._components = components
        self._shown = shown_in(header, components)
        self._rows, self._columns = units_in(header, components)
        self.grids = [
            np.zeros((self._rows * each.down, self._columns * each.across, 64), np.int16)
            for each in components
        ]
        self.absent = np.full((len(components), 64), _ABSENT)

    def read(self, selection: bytes, bits: _Bits, tables: Tables) -> None:
        """Take in a scan: its header, without marker and length, its data, and its tables."""
        count = selection[0]
        chosen = [self.names.index(name) for name in selection[1 : 1 + 2 * count : 2]]
        numbers = [divmod(pair, 16) for pair in selection[2 : 2 + 2 * count : 2]]
        first, last, approximation = selection[1 + 2 * count :]
        high, low = divmod(approximation, 16)
        absent = self.absent[chosen, first : last + 1]
        if (absent != (high or _ABSENT)).any() or (high and high != low + 1):
            raise Unkept("its scans do not follow from each other")
        self.absent[chosen, first : last + 1] = low
        if first == last == 0:
            tables_of = [tables.huffman[dc] for dc, _ in numbers] if not high else None
            self._read_first(chosen, tables_of, bits, low, tables.restart)
        elif first and count == 1:
            blocks = self._order(chosen)[0].ravel()
            band = self.grids[chosen[0]].reshape(-1, 64)[:, first : last + 1]
            read = _refined if high else _others
            entries = _entries(tables.huffman[16 + numbers[0][1]])
            band[blocks] = read(band[blocks], low, entries, bits, tables.restart)
        else:
            raise Unkept("its scans are not those of a progressive file")

    def _read_first(
        self,
        chosen: Sequence[int],
        tables: Sequence[HuffmanTable] | None,
        bits: _Bits,
        low: int,
        restart: int,
    ) -> None:
        """Take in first coefficients; without tables their next bit."""
        order = self._order(chosen)
        slots = np.repeat(np.arange(len(order)), [blocks.shape[1] for blocks in order])
        shape = len(order[0]), len(slots)
        if tables is None:
            brought = _next_bits(shape, bits, restart)
        else:
            entries = [_entries(table) for table in tables]
            brought = _firsts(shape, [entries[i] for i in slots], bits, restart)
            add_up_first(brought, slots, restart or shape[0])
        for i, (component, blocks) in enumerate(zip(chosen, order, strict=True)):
            firsts = self.grids[component].reshape(-1, 64)[:, 0]
            firsts[blocks] |= brought[:, slots == i] << low

    def _order(self, chosen: Sequence[int]) -> list[np.ndarray]:
        """The numbers of the blocks of some components, (units, S) each, in a scan's order."""
        grids = [self.grids[i] for i in chosen]
        numbers = [np.arange(grid.size // 64).reshape(grid.shape[:2]) for grid in grids]
        if len(chosen) == 1:  # such a scan knows no units
            rows, columns = self._shown[chosen[0]]
            return [numbers[0][:rows, :columns].reshape(-1, 1)]
        if len(chosen) < len(self._components):
            raise Unkept("a scan holds some of its components")
        order = []
        for each, component in zip(numbers, self._components, strict=True):
            tiled = each.reshape(self._rows, component.down, self._columns, component.across)
            order.append(tiled.swapaxes(1, 2).reshape(self._rows * self._columns, -1))
        return order


def _entries(table: HuffmanTable) -> memoryview:
    """The symbol and the length of the code that each 16 bits begin with."""
    symbols = np.array(table.symbols, np.int64)
    return table.by_prefix(symbols << _LENGTH | table.lengths(), _NO_CODE).data


def _notes(count: int) -> list[array[int]]:
    """Empty lists for whole numbers, a quarter as large as Python's own."""
    return [array("q") for _ in range(count)]


def _firsts(
    shape: tuple[int, int], entries: Sequence[memoryview], bits: _Bits, restart: int
) -> np.ndarray:
    """Read the differences of first coefficients.

    Args:
        shape: Units, and blocks S in each.
        entries: Of the table of each of these blocks.
        bits: The scan's data.
        restart: Units between restart markers; 0 where there are none.

    Returns:
        (units, S) int16.
    """
    three_bytes = bits.three_bytes
    places, sizes = _notes(2)
    for at, first, last in bits.pieces(shape[0], restart):
        for _ in range(first, last):
            for known in entries:
                entry = known[three_bytes[at >> 3] >> (8 - (at & 7)) & 0xFFFF]
                at += entry & 31
                places.append(at)
                sizes.append(entry >> _LENGTH)
                at += sizes[-1]
    size = np.array(sizes)
    if size.max() > 15:
        raise Unkept("it is damaged")
    return bits.signed(np.array(places), size).reshape(shape).astype(np.int16)


def _next_bits(shape: tuple[int, int], bits: _Bits, restart: int) -> np.ndarray:
    """Read a bit for each block of each unit: (units, S) int16."""
    units, count = shape
    places = [
        np.arange(at, at + count * (last - first))
        for at, first, last in bits.pieces(units, restart)
    ]
    return bits.values(np.concatenate(places), np.array(1)).reshape(shape).astype(np.int16)


def _others(
    blocks: np.ndarray, low: int, entries: memoryview, bits: _Bits, restart: int
) -> np.ndarray:
    """Read frequencies that no scan has brought yet.

    Args:
        blocks: (N, L) int16, zeros.
        low: How many of their lowest bits are left out.
        entries: Of the table.
        bits: The scan's data.
        restart: Blocks between restart markers; 0 where there are none.

    Returns:
        (N, L) int16.
    """
    three_bytes = bits.three_bytes
    length = blocks.shape[1]
    places, starts, sizes = _notes(3)
    for at, first, last in bits.pieces(len(blocks), restart):
        block, place = first, 0
        while block < last:
            entry = entries[three_bytes[at >> 3] >> (8 - (at & 7)) & 0xFFFF]
            at += entry & 31
            zeros, size = entry >> _LENGTH + 4, entry >> _LENGTH & 15
            if size or zeros == 15:
                place += zeros
                if place >= length:
                    raise Unkept("it is damaged")
                if size:
                    places.append(block * length + place)
                    starts.append(at)
                    sizes.append(size)
                    at += size
                place += 1
                if place == length:
                    block, place = block + 1, 0
            else:  # the end of this block, and of as many more without anything
                ahead = three_bytes[at >> 3] >> (8 - (at & 7)) & 0xFFFF
                block, place = block + (1 << zeros) + (ahead >> 16 - zeros), 0
                at += zeros
        if block > last:
            raise Unkept("it is damaged")
    read = np.zeros(blocks.size, np.int16)
    if places:
        read[places] = bits.signed(np.array(starts), np.array(sizes)) << low
    return read.reshape(blocks.shape)


def _refined(
    blocks: np.ndarray, low: int, entries: memoryview, bits: _Bits, restart: int
) -> np.ndarray:
    """Read the next bit of frequencies; those that it is the first bit of have a code.

    Args:
        blocks: (N, L) int16, without that bit and those below it.
        low: How many there are below it.
        entries: Of the table.
        bits: The scan's data.
        restart: Blocks between restart markers; 0 where there are none.

    Returns:
        (N, L) int16.
    """
    three_bytes = bits.three_bytes
    count, length = blocks.shape
    is_zero = blocks.ravel() == 0
    zeros = np.flatnonzero(is_zero).data  # places of the coefficients that are still 0
    zeros_before = np.append(0, np.cumsum(is_zero.reshape(blocks.shape).sum(axis=1))).tolist()
    places, signs = _notes(2)  # of new coefficients, and where the bit of their sign is
    starts, known = _notes(2)  # where bits of known coefficients lie, and how many in a row
    for at, first, last in bits.pieces(count, restart):
        block, place, passed = first, first * length, zeros_before[first]
        while block < last:
            entry = entries[three_bytes[at >> 3] >> (8 - (at & 7)) & 0xFFFF]
            at += entry & 31
            run, size = entry >> _LENGTH + 4, entry >> _LENGTH & 15
            if size > 1:
                raise Unkept("it is damaged")
            if size or run == 15:
                if size:
                    signs.append(at)
                    at += 1
                here = zeros[passed + run]
                if here >= (block + 1) * length:
                    raise Unkept("it is damaged")
                if size:
                    places.append(here)
                starts.append(at)
                known.append(here - place - run)
                passed += run + 1
                place = here + 1
                block = place // length
            else:  # the end of this block, and of as many more without anything new
                ahead = three_bytes[at >> 3] >> (8 - (at & 7)) & 0xFFFF
                at += run
                block += (1 << run) + (ahead >> 16 - run)
                starts.append(at)
                known.append(block * length - place - (zeros_before[block] - passed))
                place, passed = block * length, zeros_before[block]
            at += known[-1]
        if block > last:
            raise Unkept("it is damaged")
    refined = blocks.ravel().copy()
    one = np.array(1)
    if places:
        refined[places] = np.where(bits.values(np.array(signs), one), 1, -1) << low
    # The bits of all known coefficients, in their order.
    rows = np.array(known)
    at = np.repeat(np.array(starts) - (np.cumsum(rows) - rows), rows) + np.arange(rows.sum())
    old = np.flatnonzero(~is_zero)
    refined[old] += np.sign(refined[old]) * (bits.values(at, one) << low).astype(np.int16)
    return refined.reshape(blocks.shape)

"""Writing the coefficients of a JPEG into the bits of scans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unsmear.images.jpeg_huffman import HuffmanTable
from unsmear.images.jpeg_scan import PROGRESSIVE, Scan, shown_in, slots_of
from unsmear.images.jpeg_segments import DHT, DQT, EOI, SOS, Segment

_BLOCKS_AT_ONCE = 1 << 16
_SIXTEEN_ZEROS, _END = 0xF0, 0x00
_SIZES = np.ceil(np.log2(np.arange((1 << 15) + 1) + 1)).astype(np.int16)  # bits of a magnitude


def write_scan(scan: Scan) -> bytes:
    """Write coefficients with the best Huffman tables there are for them.

    A progressive frame gets a scan of first coefficients, then one of the others of each component.

    Returns:
        The end of a file, from the frame's segment on. There are no restart markers.
    """
    segments = b"".join(map(bytes, [*_quantisation_segments(scan), scan.header]))
    rows, columns, count, _ = scan.blocks.shape
    blocks = scan.blocks.reshape(rows * columns, count, 64)
    slots = slots_of(scan.components)
    if scan.header.marker != PROGRESSIVE:
        return segments + _coded(scan, blocks, slots, 0, 63) + bytes((0xFF, EOI))
    scans = [_coded(scan, blocks, slots, 0, 0)]
    shown = shown_in(scan.header, scan.components)
    for i, (grid, (high, wide)) in enumerate(zip(scan.grids(), shown, strict=True)):
        scans.append(_coded(scan, grid[:high, :wide].reshape(-1, 1, 64), np.array([i]), 1, 63))
    return segments + b"".join(scans) + bytes((0xFF, EOI))


def _coded(scan: Scan, blocks: np.ndarray, slots: np.ndarray, first: int, last: int) -> bytes:
    """Write a scan with its tables.

    Args:
        scan: What to write of.
        blocks: (units, S, 64) int16.
        slots: (S,) the component of each block of a unit.
        first: The first coefficient to be written.
        last: The last one.
    """
    blocks = blocks[..., first : last + 1]
    differences = _first_differences(blocks, slots) if first == 0 else None
    chosen = [(each.dc, 16 + each.ac) for each in scan.components]
    kinds = sorted({kind for pair in chosen for kind in pair})
    choice = np.searchsorted(kinds, chosen)[slots]  # (S, 2)
    table = np.repeat(choice, (1, 63), axis=1)[:, first : last + 1]

    count = len(slots)
    step = max(1, _BLOCKS_AT_ONCE // count)
    items = []
    for start in range(0, len(blocks), step):
        values = blocks[start : start + step].reshape(-1, last + 1 - first).copy()
        if differences is not None:
            values[:, 0] = differences[start : start + step].ravel()
        items.append(_symbols(values, table, has_first=first == 0))
    used = np.zeros(256 * len(kinds), np.int64)
    for symbols, _ in items:
        used += np.bincount(symbols, minlength=len(used))
    code, length = np.zeros((2, 256 * len(kinds)), np.uint64)
    payload = b""
    for i, kind in enumerate(kinds):
        counts = used[256 * i : 256 * (i + 1)]
        if not counts.any():
            continue
        best = HuffmanTable.best_for({int(n): int(counts[n]) for n in np.flatnonzero(counts)})
        payload += bytes([kind]) + bytes(best)
        places = 256 * i + np.array(best.symbols)
        code[places], length[places] = best.codes(), best.lengths()
    segments = [Segment(DHT, payload), Segment(SOS, _selection(scan, slots, first, last))]
    return b"".join(map(bytes, segments)) + _packed(items, code, length)


def _selection(scan: Scan, slots: np.ndarray, first: int, last: int) -> bytes:
    """A scan's header, without marker and length."""
    components = np.unique(slots)
    chosen = b"".join(scan.selection[1 + 2 * i : 3 + 2 * i] for i in components)
    return bytes([len(components)]) + chosen + bytes([first, last, 0])


def _quantisation_segments(scan: Scan) -> list[Segment]:
    tables = {each.table: table for each, table in zip(scan.components, scan.tables, strict=True)}
    segments = []
    for number, table in tables.items():
        depth, kind = (0, np.uint8) if table.max() < 256 else (1, ">u2")
        segments.append(Segment(DQT, bytes([depth << 4 | number]) + table.astype(kind).tobytes()))
    return segments


def _first_differences(blocks: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """What first coefficients are written as: (units, S, 64) -> (units, S)."""
    differences = np.empty(blocks.shape[:2], np.int16)
    for component in np.unique(slots):
        mine = slots == component
        firsts = blocks[:, mine, 0]
        differences[:, mine] = np.diff(firsts.ravel(), prepend=np.int16(0)).reshape(firsts.shape)
    return differences


def _symbols(
    values: np.ndarray, table: np.ndarray, *, has_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients as symbols with values.

    Args:
        values: (N, L) int16, of N blocks, one unit after the other; first ones as differences.
        table: (S, L) the index of each one's table, for the S blocks of a unit.
        has_first: Whether first coefficients are among them.

    Returns:
        The symbols plus 256 times their table's index, and the values that follow them.
    """
    is_coded = values != 0
    if has_first:
        is_coded[:, 0] = True  # first coefficients have a symbol always
    block, place = np.nonzero(is_coded)
    size = _SIZES[np.abs(values[block, place].astype(np.int32))]
    begins = np.diff(block, prepend=-1) != 0
    zeros = np.where(begins, place, np.diff(place, prepend=0) - 1)
    # Longer runs of zeros and the end of a block are symbols too; each has a place of its own
    # among the zeros it stands for, so that all symbols lie in their order.
    symbols = np.full(values.shape, -1, np.int16)
    symbols[block, place] = (zeros % 16) << 4 | size
    for sixteens in (1, 2, 3):
        long = np.flatnonzero(zeros >= 16 * sixteens)
        symbols[block[long], place[long] - zeros[long] - 1 + 16 * sixteens] = _SIXTEEN_ZEROS
    behind = np.where(is_coded.any(axis=1), values.shape[1] - is_coded[:, ::-1].argmax(axis=1), 0)
    ended = np.flatnonzero(behind < values.shape[1])
    symbols[ended, behind[ended]] = _END
    coded = symbols >= 0
    symbols.reshape(-1, *table.shape)[...] += 256 * table.astype(np.int16)
    return symbols[coded], values[coded]


def _packed(
    items: Sequence[tuple[np.ndarray, np.ndarray]], code: np.ndarray, length: np.ndarray
) -> bytes:
    """The bits of codes and values, filled up with ones, and stuffed.

    Args:
        items: What `_symbols` gives, one after the other.
        code: The code of each symbol, uint64.
        length: How many bits it has, uint64.
    """
    packed = bytearray()
    rest, bits = 0.0, 0  # what the items before have left of a word of 32 bits
    for symbols, values in items:
        size = symbols.astype(np.uint64) & 15
        # Negative values are written less one, without their sign.
        value = (values.astype(np.int64) - (values < 0)).astype(np.uint64) & ((1 << size) - 1)
        total = length[symbols] + size
        end = np.cumsum(total) + np.uint64(bits)
        begin = end - total
        word = (begin >> 5).astype(np.int64)
        # So few bits reach from a word into the next one, but no further.
        pair = (code[symbols] << size | value) << (64 - (begin & 31) - total)
        count = int(word[-1]) + 2
        words = np.bincount(word, pair >> 32, count)
        words += np.bincount(word + 1, pair & 0xFFFFFFFF, count)  # bits never meet: sums are exact
        words[0] += rest
        whole, bits = divmod(int(end[-1]), 32)
        packed += words[:whole].astype(">u4").tobytes()
        rest = words[whole]
    left = -(-bits // 8)
    filled = int(rest) | ((1 << 8 * left - bits) - 1) << 32 - 8 * left
    packed += filled.to_bytes(4, "big")[:left]
    return bytes(packed).replace(b"\xff", b"\xff\0")

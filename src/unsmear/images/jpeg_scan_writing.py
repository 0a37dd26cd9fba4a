"""Writing the coefficients of a baseline JPEG into the bits of a scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unsmear.images.jpeg_huffman import HuffmanTable
from unsmear.images.jpeg_scan import Scan, slots_of
from unsmear.images.jpeg_segments import DHT, DQT, EOI, SOS, Segment

_BLOCKS_AT_ONCE = 1 << 16
_SIXTEEN_ZEROS, _END = 0xF0, 0x00
_SIZES = np.ceil(np.log2(np.arange((1 << 15) + 1) + 1)).astype(np.int16)  # bits of a magnitude


def write_scan(scan: Scan) -> bytes:
    """Write coefficients with the best Huffman tables there are for them.

    Returns:
        The end of a file, from the frame's segment on. There are no restart markers.
    """
    rows, columns, count, _ = scan.blocks.shape
    blocks = scan.blocks.reshape(rows * columns, count, 64)
    slots = slots_of(scan.components)
    differences = _first_differences(blocks, slots)
    chosen = [(each.dc, 16 + each.ac) for each in scan.components]
    kinds = sorted({kind for pair in chosen for kind in pair})
    choice = np.searchsorted(kinds, chosen)[slots]

    step = max(1, _BLOCKS_AT_ONCE // count)
    items = [
        _symbols(blocks[start : start + step], differences[start : start + step], choice)
        for start in range(0, len(blocks), step)
    ]
    used = np.zeros(256 * len(kinds), np.int64)
    for symbols, _ in items:
        used += np.bincount(symbols, minlength=len(used))
    code, length = np.zeros((2, 256 * len(kinds)), np.uint64)
    segment = b""
    for i, kind in enumerate(kinds):
        counts = used[256 * i : 256 * (i + 1)]
        table = HuffmanTable.best_for({int(n): int(counts[n]) for n in np.flatnonzero(counts)})
        segment += bytes([kind]) + bytes(table)
        places = 256 * i + np.array(table.symbols)
        code[places], length[places] = table.codes(), table.lengths()
    segments = [
        *_quantisation_segments(scan),
        scan.header,
        Segment(DHT, segment),
        Segment(SOS, scan.selection),
    ]
    return b"".join(map(bytes, segments)) + _packed(items, code, length) + bytes((0xFF, EOI))


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
    blocks: np.ndarray, differences: np.ndarray, choice: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients as symbols with values.

    Args:
        blocks: (units, S, 64) int16.
        differences: (units, S) int16, the first ones to be written.
        choice: (S, 2) indices of the tables for first and other coefficients.

    Returns:
        The symbols plus 256 times their table's index, and the values that follow them.
    """
    values = blocks.reshape(-1, 64).copy()
    values[:, 0] = differences.ravel()
    is_coded = values != 0
    is_coded[:, 0] = True  # first coefficients have a symbol always
    block, place = np.nonzero(is_coded)
    size = _SIZES[np.abs(values[block, place].astype(np.int32))]
    zeros = np.diff(place, prepend=0) - 1
    zeros[place == 0] = 0
    # Longer runs of zeros and the end of a block are symbols too; each has a place of its own
    # among the zeros it stands for, so that all symbols lie in their order.
    symbols = np.full(values.shape, -1, np.int16)
    symbols[block, place] = (zeros % 16) << 4 | size
    for sixteens in (1, 2, 3):
        long = np.flatnonzero(zeros >= 16 * sixteens)
        symbols[block[long], place[long] - zeros[long] - 1 + 16 * sixteens] = _SIXTEEN_ZEROS
    last = np.flatnonzero(np.diff(place, append=0) <= 0)
    last = last[place[last] < 63]
    symbols[block[last], place[last] + 1] = _END
    table = np.repeat(choice, (1, 63), axis=1)  # (S, 64)
    symbols = symbols.reshape(blocks.shape)
    coded = symbols >= 0
    return (symbols + 256 * table.astype(np.int16))[coded], values.reshape(blocks.shape)[coded]


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

"""JPEG's Huffman tables: to look symbols up by the bits that follow, and to make the best ones."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from unsmear.images.jpeg_segments import DHT, split

LONGEST = 16  # bits in a code
_UNUSED = 256  # stands for the code of all ones, which no symbol may have


@dataclass(frozen=True)
class HuffmanTable:
    """A canonical code.

    Attributes:
        counts: How many codes there are of 1, 2, ... 16 bits.
        symbols: The symbols in the order of their codes; 0..255.
    """

    counts: tuple[int, ...]
    symbols: tuple[int, ...]

    @classmethod
    def best_for(cls, frequencies: Mapping[int, int]) -> HuffmanTable:
        """The code that makes a text shortest, of at most 16 bits a symbol (package-merge).

        Args:
            frequencies: How often each symbol occurs; at least one.
        """
        leaves = sorted((count, (symbol,)) for symbol, count in {_UNUSED: 0, **frequencies}.items())
        packages = leaves
        for _ in range(LONGEST - 1):
            pairs = zip(packages[::2], packages[1::2], strict=False)  # an odd one out is dear
            packages = sorted(leaves + [(a + b, one + other) for (a, one), (b, other) in pairs])
        lengths = dict.fromkeys([_UNUSED, *frequencies], 0)
        for _, symbols in packages[: 2 * len(leaves) - 2]:
            for symbol in symbols:
                lengths[symbol] += 1
        ordered = sorted(frequencies, key=lambda symbol: (lengths[symbol], symbol))
        counts = [0] * LONGEST
        for symbol in ordered:
            counts[lengths[symbol] - 1] += 1
        return cls(tuple(counts), tuple(ordered))

    def __bytes__(self) -> bytes:
        return bytes(self.counts) + bytes(self.symbols)

    def lengths(self) -> np.ndarray:
        """Bits of each code, in the order of `symbols`."""
        return np.repeat(np.arange(1, LONGEST + 1), self.counts)

    def codes(self) -> np.ndarray:
        """The codes, in the order of `symbols`."""
        # Each code is the end of the one before it, when both are read as shares of the whole.
        shares = 1 << (LONGEST - self.lengths())
        return (np.cumsum(shares) - shares) >> (LONGEST - self.lengths())

    def by_prefix(self, entries: np.ndarray, unknown: int) -> np.ndarray:
        """Spread one entry per symbol over all 16-bit numbers that begin with its code.

        Args:
            entries: In the order of `symbols`.
            unknown: The entry for bits that are no code.

        Returns:
            65,536 entries.
        """
        found = np.full(1 << LONGEST, unknown, np.int64)
        spread = np.repeat(entries, 1 << (LONGEST - self.lengths()))
        found[: len(spread)] = spread
        return found


def tables_in(payload: bytes) -> dict[int, HuffmanTable]:
    """Read a DHT segment: tables by class (0 DC, 16 AC) plus number.

    Raises:
        ValueError: It is cut short, or says more codes of a length than there can be.
    """
    tables: dict[int, HuffmanTable] = {}
    at = 0
    while at < len(payload):
        if at + 17 > len(payload):
            raise ValueError("a Huffman table is cut short")
        kind, *counts = struct.unpack_from("17B", payload, at)
        symbols = payload[at + 17 : at + 17 + sum(counts)]
        if len(symbols) < sum(counts):
            raise ValueError("a Huffman table is cut short")
        if sum(count << (LONGEST - 1 - i) for i, count in enumerate(counts)) > 1 << LONGEST:
            raise ValueError("a Huffman table has too many codes")
        tables[kind] = HuffmanTable(tuple(counts), tuple(symbols))
        at += 17 + sum(counts)
    return tables


@cache
def usual_tables() -> Mapping[int, HuffmanTable]:
    """The tables that the standard gives as an example, by class plus number.

    Most encoders take them as they are, so that Motion JPEG may leave them out of its frames.
    """
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    tables: dict[int, HuffmanTable] = {}
    for segment in split(file.getvalue())[0]:
        if segment.marker == DHT:
            tables.update(tables_in(segment.payload))
    return tables

"""EXIF blocks: reading the orientation, and changing it without moving a byte of the rest.

An EXIF block is a small TIFF file: a header, a directory (IFD) of 12-byte entries, further
directories that entries point to. In JPEG, PNG and WebP we patch the block where it stands, because
maker notes hold offsets that only their maker understands. In TIFF the directories have to be
written anew, which `Directory` and `lay_out` do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

ByteOrder = Literal["<", ">"]

IMAGE_WIDTH, IMAGE_LENGTH = 256, 257
ORIENTATION = 274
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
SOFTWARE = 305
POINTERS = {34665, 34853, 40965}  # Exif, GPS, Interoperability
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BIG_SIZES = {16: 8, 17: 8, 18: 8}  # those of types that only BigTIFF has


@dataclass(frozen=True)
class Entry:
    """One tag: its data type, number of items, and the items' bytes in the block's byte order."""

    type: int
    count: int
    data: bytes
    at: int = 0  # where `data` stands in the block it was read from

    def integer(self, order: ByteOrder) -> int | None:
        """The first item of a SHORT or LONG tag, or of one that says where a directory stands."""
        form = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(self.type)
        if form is None or self.count < 1:
            return None
        return int(struct.unpack_from(order + form, self.data)[0])

    def rational(self, order: ByteOrder) -> float | None:
        """The first item of a RATIONAL tag; None for anything else and for a division by 0."""
        if self.type != 5 or self.count < 1:
            return None
        over, under = struct.unpack_from(order + "II", self.data)
        return over / under if under else None


@dataclass
class Directory:
    """One directory with the ones below it."""

    entries: dict[int, Entry] = field(default_factory=dict)
    below: dict[int, Directory] = field(default_factory=dict)  # keys are from POINTERS


def byte_order(block: bytes) -> ByteOrder | None:
    """Tell "<" or ">" from a classic TIFF header; None when there is none."""
    if block[:4] == b"II*\0":
        return "<"
    return ">" if block[:4] == b"MM\0*" else None


class _Layout(NamedTuple):
    """How directories are laid out: as in classic TIFF, or as in BigTIFF with wider numbers.

    Attributes:
        order: The byte order.
        first: Where the header says where the first directory stands.
        number: How many entries a directory has, as `struct` reads it.
        wide: How many items an entry has, or where something stands, likewise.
    """

    order: ByteOrder
    first: int
    number: str
    wide: str


def _layout_of(block: bytes) -> _Layout | None:
    order = byte_order(block)
    if order is not None:
        return _Layout(order, 4, "H", "I")
    if block[:8] == b"II+\0\x08\0\0\0":
        return _Layout("<", 8, "Q", "Q")
    return _Layout(">", 8, "Q", "Q") if block[:8] == b"MM\0+\0\x08\0\0" else None


def read_directories(block: bytes) -> Iterator[Directory]:
    """Walk the main chain of directories; broken entries are left out, broken chains end.

    Args:
        block: An EXIF block or a whole TIFF file, classic or BigTIFF. Of the latter, entries of
            types that classic TIFF does not have are left out.

    Yields:
        IFD0, IFD1, and so on, each with its Exif and GPS directories.
    """
    layout = _layout_of(block)
    if layout is None or len(block) < 2 * layout.first:
        return
    offset = struct.unpack_from(layout.order + layout.wide, block, layout.first)[0]
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < 4096:
        seen.add(offset)
        directory, offset = _read_directory(block, offset, layout, depth=0)
        if directory is None:
            return
        yield directory


def _read_directory(
    block: bytes, offset: int, layout: _Layout, depth: int
) -> tuple[Directory | None, int]:
    order = layout.order
    count, head, wide = (
        struct.Struct(order + form) for form in (layout.number, "HH" + layout.wide, layout.wide)
    )
    begin, step = offset + count.size, head.size + wide.size
    if begin > len(block):
        return None, 0
    end = begin + step * count.unpack_from(block, offset)[0]
    directory = Directory()
    for at in range(begin, end, step):
        if at + step > len(block):
            return directory, 0
        tag, kind, items = head.unpack_from(block, at)
        size = (_SIZES | _BIG_SIZES).get(kind, 0) * items
        start = at + head.size
        if size > wide.size:
            start = wide.unpack_from(block, start)[0]
        if start + size > len(block):
            continue
        entry = Entry(kind, items, block[start : start + size], start)
        if tag in POINTERS:
            target = entry.integer(order)
            if depth < 3 and target is not None:
                below, _ = _read_directory(block, target, layout, depth + 1)
                if below is not None:
                    directory.below[tag] = below
        elif kind in _SIZES:
            directory.entries[tag] = entry
    following = wide.unpack_from(block, end)[0] if end + wide.size <= len(block) else 0
    return directory, following


def orientation(block: bytes) -> int | None:
    """The orientation tag of a block, 1..8; None when there is none or it is nonsense."""
    order = byte_order(block)
    first = next(read_directories(block), None)
    if order is None or first is None or ORIENTATION not in first.entries:
        return None
    value = first.entries[ORIENTATION].integer(order)
    return value if value is not None and 1 <= value <= 8 else None


def is_bare(block: bytes) -> bool:
    """Whether a block says nothing but orientation, resolution and what wrote it."""
    first = next(read_directories(block), None)
    bare = {ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, SOFTWARE}
    return first is not None and not first.below and first.entries.keys() <= bare


def resolution(block: bytes) -> tuple[float, float] | None:
    """Dots per inch across and down, from the main directory."""
    order = byte_order(block)
    first = next(read_directories(block), None)
    return None if order is None or first is None else directory_resolution(first, order)


def directory_resolution(directory: Directory, order: ByteOrder) -> tuple[float, float] | None:
    """Dots per inch across and down, from one directory; None when it does not say."""
    across, down = (directory.entries.get(tag) for tag in (X_RESOLUTION, Y_RESOLUTION))
    if across is None or down is None:
        return None
    unit = directory.entries.get(RESOLUTION_UNIT)
    per_inch = {2: 1.0, 3: 2.54}.get((unit.integer(order) or 0) if unit is not None else 2)
    x, y = across.rational(order), down.rational(order)
    return (x * per_inch, y * per_inch) if per_inch and x and y else None


def upright(block: bytes, turned: int) -> bytes:
    """Say in a block that its pixels are upright and new; every other byte stays where it is.

    Args:
        block: The block; anything that cannot be parsed comes back as it is.
        turned: The orientation that has been applied to the pixels, 1..8.

    Returns:
        A block of the same length with orientation 1. The preview picture (IFD1) is cut loose,
        since it shows what the picture was, perhaps on its side; when width and height have changed
        places, so do their EXIF tags.
    """
    order = byte_order(block)
    first = next(read_directories(block), None)
    if order is None or first is None:
        return block
    patched = bytearray(block)
    entry = first.entries.get(ORIENTATION)
    if entry is not None and entry.count >= 1 and entry.type in (3, 4):
        struct.pack_into(order + ("H" if entry.type == 3 else "I"), patched, entry.at, 1)
    start = struct.unpack_from(order + "I", block, 4)[0]
    end = start + 2 + 12 * struct.unpack_from(order + "H", block, start)[0]
    if end + 4 <= len(block):
        struct.pack_into(order + "I", patched, end, 0)
    if turned >= 5 and 34665 in first.below:
        _swap(patched, first.below[34665].entries, _PIXEL_X, _PIXEL_Y)
    if turned >= 5:
        _swap(patched, first.entries, X_RESOLUTION, Y_RESOLUTION)
        _swap(patched, first.entries, IMAGE_WIDTH, IMAGE_LENGTH)  # as some phones write them
    return bytes(patched)


def _swap(block: bytearray, entries: dict[int, Entry], one: int, other: int) -> None:
    a, b = entries.get(one), entries.get(other)
    if a is None or b is None or (a.type, a.count) != (b.type, b.count):
        return
    block[a.at : a.at + len(a.data)] = b.data
    block[b.at : b.at + len(b.data)] = a.data


def lay_out(directory: Directory, order: ByteOrder, at: int) -> bytes:
    """Write a directory with all below it, to stand at an offset of a file.

    Args:
        directory: What to write; it ends its chain.
        order: The byte order of the file, which the entries' data must already have.
        at: The even offset where the bytes will stand.

    Returns:
        The directory, then the data that does not fit inside it, then the directories below.
    """
    tags = sorted({*directory.entries, *directory.below})
    table = bytearray(struct.pack(order + "H", len(tags)))
    rest = bytearray()
    start = at + 2 + 12 * len(tags) + 4
    for tag in tags:
        if tag in directory.below:
            place = start + len(rest)
            rest += _even(lay_out(directory.below[tag], order, place))
            table += struct.pack(order + "HHII", tag, 4, 1, place)
            continue
        entry = directory.entries[tag]
        table += struct.pack(order + "HHI", tag, entry.type, entry.count)
        if len(entry.data) <= 4:
            table += entry.data.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", start + len(rest))
            rest += _even(entry.data)
    return bytes(table) + bytes(4) + bytes(rest)


def _even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


def make_block(directory: Directory, order: ByteOrder) -> bytes:
    """Write a directory as an EXIF block of its own."""
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return header + lay_out(directory, order, at=8)

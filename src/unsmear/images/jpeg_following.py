"""What follows a JPEG's picture in its file: further pictures, the film of a motion photo.

Further pictures (previews, the gain map of an HDR photo) are found by an index among the first
one's segments (multi-picture format), films from the file's end. Of a gain map XMP and a segment of
its own speak, too.
"""

from __future__ import annotations

import re
import struct

from unsmear.images import exif
from unsmear.images.formats import Unreadable
from unsmear.images.jpeg_segments import APP2, Segment, picture_end, split

_MPF = b"MPF\0"
_LIST = 0xB002  # the index's tag: for each picture 16 bytes, with its size and offset in the middle
_ENTRY = 16
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
_WITHIN = rb"(?:(?!</?rdf:li\b).)*"
_SPOKEN_OF = re.compile(  # as attributes and as elements, and in the list of the file's parts
    rb"""(?<=\s)hdrgm:\w+\s*=\s*(?:"[^"]*"|'[^']*')"""
    rb"|<hdrgm:(\w+)>[^<]*</hdrgm:\1>"
    rb"""|<rdf:li\b%bItem:Semantic(?:\s*=\s*["']|>)GainMap\b%b</rdf:li>""" % (_WITHIN, _WITHIN),
    re.DOTALL,
)


def is_index(segment: Segment) -> bool:
    """Whether it says where further pictures are."""
    return segment.marker == APP2 and segment.payload.startswith(_MPF)


def speaks_of_gain_map(segment: Segment) -> bool:
    """Whether it says that one of the further pictures is a gain map, as ISO 21496-1 has it."""
    return segment.marker == APP2 and segment.payload.startswith(_ISO_GAIN_MAP)


def without_gain_map(packet: bytes) -> bytes:
    """An XMP packet that no longer says that a gain map is among the further pictures."""
    return _SPOKEN_OF.sub(b"", packet)


def following(data: bytes) -> tuple[bool, bytes]:
    """What follows the first picture of a file.

    Returns:
        Whether further pictures do, and the bytes behind all pictures.
    """
    segments, scan = split(data)
    end = picture_end(data, scan)
    index = next(filter(is_index, segments), None)
    if index is None:
        return False, data[end:]
    # Offsets count from where the index has its byte order.
    begin = _place(index, data) + len(_MPF)
    starts = [begin + offset for _, offset in _list_in(index)[2]]
    there = [at for at in starts if at >= end and data[at : at + 3] == b"\xff\xd8\xff"]
    if not there:
        return False, data[end:]  # some programs cut them off and leave the index
    # Sizes are not always true, so the last one's end is looked for.
    last = data[max(there) :]
    try:
        _, scan = split(last)
    except Unreadable:
        return True, b""
    return True, last[picture_end(last, scan) :]


def with_following(changed: bytes, original: bytes) -> bytes:
    """A changed picture with what followed the original one.

    Args:
        changed: The picture alone. With the original's index among its segments further pictures
            follow, and it says where they are now; without it only what is behind them.
        original: The file as it was read.
    """
    segments, scan = split(original)
    end = picture_end(original, scan)
    index = next(filter(is_index, segments), None)
    if index is None or bytes(index) not in changed:
        return changed + following(original)[1]
    before, after = _place(index, original), _place(index, changed)
    longer = len(changed) - end
    order, at, listed = _list_in(index)
    payload = bytearray(index.payload)
    for number, (size, offset) in enumerate(listed):
        # The first one's offset is always 0.
        moved = (size + longer, 0) if number == 0 else (size, offset + longer - (after - before))
        numbers = (each % (1 << 32) for each in moved)  # of a broken index, which stays broken
        struct.pack_into(order + "II", payload, at + _ENTRY * number + 4, *numbers)
    rest = changed[after + len(payload) :] + original[end:]
    return changed[:after] + bytes(payload) + rest


def _place(index: Segment, data: bytes) -> int:
    """Where the index's payload stands in a file that has it."""
    whole = bytes(index)
    return data.index(whole) + len(whole) - len(index.payload)


def _list_in(index: Segment) -> tuple[str, int, list[tuple[int, int]]]:
    """Byte order, where in the payload the list stands, and each picture's size and offset."""
    block = index.payload[len(_MPF) :]
    order = exif.byte_order(block)
    directory = next(exif.read_directories(block), None)
    entry = None if directory is None else directory.entries.get(_LIST)
    if order is None or entry is None:
        return "<", 0, []
    starts = range(4, len(entry.data) - _ENTRY + 5, _ENTRY)
    sizes = [struct.unpack_from(order + "II", entry.data, start) for start in starts]
    return order, len(_MPF) + entry.at, sizes

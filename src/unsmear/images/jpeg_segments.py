"""The marker segments a JPEG file begins with."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from unsmear.images.formats import Unreadable

APP0, APP1, APP2, APP13, APP14, COM = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
DHT, DQT, DRI = 0xC4, 0xDB, 0xDD

# In a scan, 0xFF with a nought is a value, and restart markers have no length.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


@dataclass(frozen=True)
class Segment:
    """One marker segment before the scan, without its length."""

    marker: int
    payload: bytes

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame header, of whatever process (JPEG-LS among them)."""
        common = 0xC0 <= self.marker <= 0xCF and self.marker not in (DHT, 0xC8, 0xCC)
        return common or self.marker == 0xF7

    def __bytes__(self) -> bytes:
        length = struct.pack(">H", len(self.payload) + 2)
        return bytes((0xFF, self.marker)) + length + self.payload


def split(data: bytes, at: int = 2) -> tuple[list[Segment], int]:
    """Cut a file into the segments before its next scan, and the offset of that scan's marker.

    Args:
        data: The file.
        at: Where to begin; as a rule behind the marker that every file begins with.

    Raises:
        Unreadable: The file ends too early.
    """
    segments: list[Segment] = []
    while True:
        at = data.find(b"\xff", at)  # some programs leave a few bytes between segments
        while data[at : at + 2] == b"\xff\xff":  # a marker may be padded
            at += 1
        if at < 0 or at + 4 > len(data):
            raise Unreadable("ends before the picture begins: copy it again")
        marker = data[at + 1]
        if marker == SOS:
            return segments, at
        if marker == 0x01 or 0xD0 <= marker <= SOI:  # markers without a length
            at += 2
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        if length < 2 or at + 2 + length > len(data):
            raise Unreadable("ends before the picture begins: copy it again")
        segments.append(Segment(marker, data[at + 4 : at + 2 + length]))
        at += 2 + length


def picture_end(data: bytes, scan: int) -> int:
    """Where the picture ends whose first scan is at an offset; what follows belongs to others."""
    at = scan
    while marker := _AFTER_SCAN.search(data, at):
        at = marker.end()
        if data[at - 1] == EOI:
            return at
        at += int.from_bytes(data[at : at + 2], "big")  # a segment may hold anything
    return len(data)

"""EXIF and XMP inside PNG's text fields.

Both have a place of their own in a PNG, which not all programs use: ImageMagick, and what writes
through exiv2 (darktable, digiKam, GIMP), spell a block in hexadecimal digits under a keyword that
begins with "Raw profile type"; libvips puts XMP into a text field of another kind.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from typing import Literal

_FIELDS = (b"tEXt", b"zTXt", b"iTXt")
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW_KEYWORD = b"Raw profile type "
_RAW = re.compile(rb"\s*(\S+)\s+\d+\s([\s0-9A-Fa-f]*)\Z")  # name, length, digits
_RAW_LINE = 36  # bytes to a line of digits
_EXIF_HEAD, _XMP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_MAX_TEXT = 1 << 26  # what a compressed profile or text may unpack to


@dataclass(frozen=True)
class Chunk:
    """One chunk: its four-letter name and its data."""

    name: bytes
    data: bytes


@dataclass(frozen=True)
class Held:
    """A block that a text field holds.

    Attributes:
        kind: What it is.
        block: The EXIF block or XMP packet.
        name: What it is called before its digits; empty where it stands there as it is.
        head: What its digits begin with, before the block.
    """

    kind: Literal["exif", "xmp"]
    block: bytes
    name: bytes = b""
    head: bytes = b""

    def __bytes__(self) -> bytes:
        if not self.name:
            return self.block
        whole = self.head + self.block
        digits = whole.hex("\n", -_RAW_LINE).encode()
        return b"\n%s\n%8d\n%s\n" % (self.name, len(whole), digits)


def held_in(chunk: Chunk) -> Held | None:
    """What EXIF block or XMP packet a text field holds; None for other chunks."""
    if chunk.name not in _FIELDS:
        return None
    keyword, _, rest = chunk.data.partition(b"\0")
    if not (keyword == _XMP_KEYWORD or keyword.startswith(_RAW_KEYWORD)):
        return None
    text = _text_in(chunk.name, rest)
    if text is None:
        return None
    return Held("xmp", text) if keyword == _XMP_KEYWORD else _spelled_in(text)


def with_block(chunk: Chunk, block: bytes) -> Chunk:
    """The same text field with another block of its kind; other chunks as they are."""
    held = held_in(chunk)
    if held is None or held.block == block:
        return chunk
    keyword, _, _ = chunk.data.partition(b"\0")
    text = bytes(replace(held, block=block))
    if chunk.name == b"zTXt":
        text = b"\0" + zlib.compress(text)
    if chunk.name == b"iTXt":
        text = bytes(4) + text  # not compressed, in no language
    return Chunk(chunk.name, keyword + b"\0" + text)


def xmp_chunk(packet: bytes) -> Chunk:
    """The text field that the standard names for an XMP packet."""
    return Chunk(b"iTXt", _XMP_KEYWORD + b"\0" * 5 + packet)


def inflate(data: bytes) -> bytes | None:
    """Unpack, unless it is broken or a bomb: then the picture does without."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, _MAX_TEXT)
    except zlib.error:
        return None
    return unpacked if unpacker.eof and unpacked else None


def _text_in(name: bytes, rest: bytes) -> bytes | None:
    """The text of a field, from what follows its keyword."""
    if name == b"tEXt":
        return rest
    if name == b"zTXt":
        return inflate(rest[1:])
    parts = rest[2:].split(b"\0", 2)  # language, keyword translated, text
    if len(parts) != 3:
        return None
    return inflate(parts[2]) if rest[0] else parts[2]


def _spelled_in(text: bytes) -> Held | None:
    found = _RAW.match(text)
    if found is None:
        return None
    name, digits = found.groups()
    try:
        whole = bytes.fromhex(digits.decode())
    except ValueError:  # an odd number of them
        return None
    if whole.startswith(_XMP_HEAD):
        return Held("xmp", whole.removeprefix(_XMP_HEAD), name, _XMP_HEAD)
    if whole.startswith(_EXIF_HEAD):
        return Held("exif", whole.removeprefix(_EXIF_HEAD), name, _EXIF_HEAD)
    if name == b"xmp":
        return Held("xmp", whole, name)
    return Held("exif", whole, name) if name == b"exif" else None

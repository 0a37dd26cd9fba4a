"""How large a picture says it is, from its first bytes, before anything is decoded."""

from __future__ import annotations

import struct

_STEPS = 4096  # segments, tags or stray bytes looked at; real files have a few dozen


def picture_size(data: bytes, format: str) -> tuple[int, int] | None:
    """Width and height as the file's header has them, orientation not applied.

    Args:
        data: the file.
        format: "JPEG", "PNG", "TIFF", "WEBP" or "BMP".

    Returns:
        None where the header does not say: such a file is damaged or very odd, and its decoder,
        which knows the limit of pixels too, has the last word.
    """
    try:
        return _READERS[format](data)
    except (struct.error, IndexError, OverflowError):  # the file ends before it says
        return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    short = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if short else "<ii", data, 18)
    return abs(width), abs(height)  # rows from the top down have a negative height


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        low = struct.unpack_from("<HBHB", data, 24)
        return (low[0] | low[1] << 16) + 1, (low[2] | low[3] << 16) + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(_STEPS):
        at = data.find(b"\xff", at, at + _STEPS)  # some programs leave bytes between segments
        if at < 0:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _tiff(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    at += 8 if big else 2
    sides: dict[int, int] = {}
    for _ in range(min(count, _STEPS)):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (256, 257) and kind in _TIFF_NUMBERS:
            value = struct.unpack_from(order + _TIFF_NUMBERS[kind], data, at + (12 if big else 8))
            sides.setdefault(tag, value[0])
        at += 20 if big else 12
    return (sides[256], sides[257]) if len(sides) == 2 else None


_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}

_READERS = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "WEBP": _webp, "BMP": _bmp}

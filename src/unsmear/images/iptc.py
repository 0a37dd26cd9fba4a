"""IPTC: the captions, keywords and bylines of news photos.

They are one of the resources that Photoshop keeps beside a picture: in JPEG there is no other place
for them, in TIFF they also have a tag of their own. Of the others only paths are somebody's work.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SIGNATURE, _IPTC = b"8BIM", 0x0404
_PATHS = range(2000, 2998)


def iptc_in(resources: bytes) -> bytes | None:
    """The IPTC data among Photoshop's resources; None where there is none, or it is cut off."""
    return next((data for number, data in _each(resources) if number == _IPTC and data), None)


def has_paths(resources: bytes) -> bool:
    """Whether Photoshop's resources hold paths, such as one that cuts out the subject."""
    return any(number in _PATHS for number, _ in _each(resources))


def _each(resources: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and data of each resource that is there whole."""
    at = 0
    while resources[at : at + 4] == _SIGNATURE and at + 12 <= len(resources):
        number, name = struct.unpack_from(">HB", resources, at + 4)
        at += 6 + _even(1 + name)
        if at + 4 > len(resources):
            return
        size = struct.unpack_from(">I", resources, at)[0]
        at += 4
        if at + size > len(resources):
            return
        yield number, resources[at : at + size]
        at += _even(size)


def resources_of(iptc: bytes) -> bytes:
    """Photoshop's resources with IPTC data alone."""
    head = struct.pack(">4sHHI", _SIGNATURE, _IPTC, 0, len(iptc))
    return head + iptc + bytes(len(iptc) % 2)


def _even(length: int) -> int:
    return length + length % 2

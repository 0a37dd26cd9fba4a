"""IPTC: the captions, keywords and bylines of news photos.

They are one of the resources that Photoshop keeps beside a picture: in JPEG there is no other place
for them, in TIFF they also have a tag of their own.
"""

from __future__ import annotations

import struct

_SIGNATURE, _IPTC = b"8BIM", 0x0404


def iptc_in(resources: bytes) -> bytes | None:
    """The IPTC data among Photoshop's resources; None where there is none, or it is cut off."""
    at = 0
    while resources[at : at + 4] == _SIGNATURE and at + 12 <= len(resources):
        number, name = struct.unpack_from(">HB", resources, at + 4)
        at += 6 + _even(1 + name)
        if at + 4 > len(resources):
            break
        size = struct.unpack_from(">I", resources, at)[0]
        at += 4
        if number == _IPTC and 0 < size <= len(resources) - at:
            return resources[at : at + size]
        at += _even(size)
    return None


def resources_of(iptc: bytes) -> bytes:
    """Photoshop's resources with IPTC data alone."""
    head = struct.pack(">4sHHI", _SIGNATURE, _IPTC, 0, len(iptc))
    return head + iptc + bytes(len(iptc) % 2)


def _even(length: int) -> int:
    return length + length % 2

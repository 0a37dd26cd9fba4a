"""IPTC: the captions, keywords and bylines of news photos.

They are one of the resources that Photoshop keeps beside a picture: in JPEG there is no other place
for them, in TIFF they also have a tag of their own. Of the others only paths are somebody's work,
and only a preview is untrue of a changed picture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_SIGNATURE, _IPTC = b"8BIM", 0x0404
_PATHS = range(2000, 2998)
_PREVIEWS = (0x0409, 0x040C)


class _Resource(NamedTuple):
    """A resource, and where it begins and ends."""

    number: int
    data: bytes
    begin: int
    end: int


def iptc_in(resources: bytes) -> bytes | None:
    """The IPTC data among Photoshop's resources; None where there is none, or it is cut off."""
    return next(
        (each.data for each in _each(resources) if each.number == _IPTC and each.data), None
    )


def has_paths(resources: bytes) -> bool:
    """Whether Photoshop's resources hold paths, such as one that cuts out the subject."""
    return any(each.number in _PATHS for each in _each(resources))


def without_previews(resources: bytes) -> bytes:
    """Photoshop's resources less the small preview, which shows what the picture was."""
    kept, end = b"", 0
    for each in _each(resources):
        if each.number in _PREVIEWS:
            kept, end = kept + resources[end : each.begin], each.end
    return kept + resources[end:]


def _each(resources: bytes) -> Iterator[_Resource]:
    """The resources that are there whole."""
    at = 0
    while resources[at : at + 4] == _SIGNATURE and at + 12 <= len(resources):
        begin = at
        number, name = struct.unpack_from(">HB", resources, at + 4)
        at += 6 + _even(1 + name)
        if at + 4 > len(resources):
            return
        size = struct.unpack_from(">I", resources, at)[0]
        at += 4
        if at + size > len(resources):
            return
        data = resources[at : at + size]
        at += _even(size)
        yield _Resource(number, data, begin, at)


def resources_of(iptc: bytes) -> bytes:
    """Photoshop's resources with IPTC data alone."""
    head = struct.pack(">4sHHI", _SIGNATURE, _IPTC, 0, len(iptc))
    return head + iptc + bytes(len(iptc) % 2)


def _even(length: int) -> int:
    return length + length % 2

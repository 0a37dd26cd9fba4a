"""What the page must know of a picture file without decoding it, and what it makes for a browser.

Nothing here decodes what a stranger sent: that is left to the service's own process.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from unsmear.images import SUPPORTED_SUFFIXES, Picture, encode_picture, exif, jpeg_segments
from unsmear.images.formats import Unreadable, sniff
from unsmear.images.jpeg_metadata import metadata_in
from unsmear.images.metadata import Metadata
from unsmear.web.problems import UnsupportedError, UnusableError
from unsmear.web.service import Wish

MAP_SIDE = 1536  # px, longest side of the maps that go to and from the browser
VIEW = Wish(strength=0, boxes=((0, 0, 1, 1),), format="PNG")
"""Makes the same picture as PNG, which every browser shows, at hardly any cost."""

_CHUNKS = 4096  # looked at; real files have a few, and one for each frame
_ARITHMETIC = range(0xC9, 0xCC)  # markers of frames


@dataclass(frozen=True)
class FileKind:
    """What a picture file is.

    Attributes:
        format: such as "JPEG".
        media_type: such as "image/jpeg".
        is_viewable: whether browsers show it, upright and in its true colours.
        reencoded: why changing a part of it means to encode all of it anew, as the rest of a
            sentence that begins "This JPEG is"; None where the rest keeps its very numbers.
    """

    format: str
    media_type: str
    is_viewable: bool = True
    reencoded: str | None = None


def kind_of(data: bytes, name: str) -> FileKind:
    """Tell what a file is, from its first bytes and headers.

    Raises:
        UnsupportedError: it is no picture that we read.
    """
    try:
        format = sniff(data[:512], PurePosixPath(name).suffix)
        media_type = f"image/{format.lower()}"
        if format == "JPEG":
            return _jpeg_kind(data)
        # Browsers turn no WebP.
        is_sideways = format == "WEBP" and _webp_metadata(data).orientation > 1
        return FileKind(format, media_type, is_viewable=format != "TIFF" and not is_sideways)
    except Unreadable as problem:
        raise UnsupportedError(f"{name} {problem}.") from problem


def _jpeg_kind(data: bytes) -> FileKind:
    segments, _ = jpeg_segments.split(data)
    frame = next((each for each in segments if each.is_frame), None)
    metadata = metadata_in(segments)
    is_turned = metadata.orientation > 1
    turned_by = "EXIF tag" if metadata.exif and exif.orientation(metadata.exif) else "XMP"
    reencoded = None
    if frame is not None and frame.marker in _ARITHMETIC:
        reencoded = "arithmetically coded"
    elif is_turned:
        reencoded = f"turned by its {turned_by}"
    has_four_inks = frame is not None and frame.payload[5:6] == b"\x04"
    is_sideways = is_turned and turned_by == "XMP"  # browsers ask EXIF alone
    return FileKind("JPEG", "image/jpeg", not (has_four_inks or is_sideways), reencoded)


def _webp_metadata(data: bytes) -> Metadata:
    """What turns a WebP; damaged ones may lack it."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    for _ in range(_CHUNKS):
        if at + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, at)
        if name in (b"EXIF", b"XMP "):
            chunks.setdefault(name, data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    block = chunks.get(b"EXIF")
    return Metadata(
        exif=None if block is None else block.removeprefix(b"Exif\0\0"), xmp=chunks.get(b"XMP ")
    )


def clean_name(said: str) -> str:
    """The name of a file as a browser says it, fit for messages and downloads."""
    name = PurePosixPath(said.replace("\\", "/")).name
    name = "".join(letter for letter in name if letter.isprintable()).strip(" .")
    return name[-120:] or "photo"


def result_name(name: str, kind: FileKind) -> str:
    """What a result is called: photo.jpg -> photo.unsmeared.jpg, with a suffix that fits it."""
    path = PurePosixPath(name)
    suffix = path.suffix
    if SUPPORTED_SUFFIXES.get(suffix.lower()) != kind.format:
        fitting = (each for each, format in SUPPORTED_SUFFIXES.items() if format == kind.format)
        suffix = next(fitting)
    return f"{path.stem}.unsmeared{suffix}"


def map_picture(blur_map: np.ndarray) -> bytes:
    """A blur map to lay over the photo: uint8 (H, W) -> PNG, white, the surer the more opaque."""
    small = Image.fromarray(blur_map)
    small.thumbnail((MAP_SIDE, MAP_SIDE), Image.Resampling.BOX)
    opaque = np.asarray(small)
    overlay = np.stack([np.full_like(opaque, 255), opaque], axis=-1)
    return encode_picture(Picture.from_array(overlay), "PNG")


def read_mask(bits: str, size: tuple[int, int], picture: tuple[int, int]) -> np.ndarray:
    """A painted mask, brought to a picture's size.

    Args:
        bits: base64 of a bit for each pixel, row by row from the top, first pixel highest.
        size: width and height of what was painted on.
        picture: width and height to bring it to.

    Returns:
        (H, W) bool.

    Raises:
        UnusableError: the bits are not of that size.
    """
    (width, height), (wide, high) = size, picture
    try:
        packed = np.frombuffer(base64.b64decode(bits, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        packed = np.empty(0, np.uint8)
    if min(*size, *picture) < 1 or max(size) > MAP_SIDE or len(packed) != -(-width * height // 8):
        raise UnusableError("What was painted did not arrive whole; paint it again.")
    small = np.unpackbits(packed, count=width * height).reshape(height, width).astype(bool)
    rows, columns = np.arange(high) * height // high, np.arange(wide) * width // wide
    return small[rows[:, None], columns]

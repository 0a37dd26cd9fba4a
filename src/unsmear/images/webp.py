"""WebP: still pictures, read lossy or lossless, written lossless."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import WebPImagePlugin

from unsmear.errors import OutputError
from unsmear.images.formats import Tell, Unreadable, too_large
from unsmear.images.metadata import Metadata
from unsmear.images.picture import Picture, pil_image
from unsmear.images.samples import Samples, convert

_MAX_SIDE = 16383


def decode(data: bytes, max_pixels: int, tell: Tell) -> Picture:
    """Read a WebP file.

    Raises:
        Unreadable: It is damaged or too large.
    """
    chunks = _split(data)
    size = _size_of(chunks)
    if size is None:
        raise Unreadable("is a damaged WebP: open it in a picture editor and save it again")
    if size[0] * size[1] > max_pixels:
        raise too_large(size, max_pixels)
    if b"ANMF" in chunks:
        tell("several frames", "the first one")
        values = np.array(WebPImagePlugin.WebPImageFile(io.BytesIO(data)))
    else:
        values = _decode_still(data)
    if values.shape[:2] != (size[1], size[0]):
        raise Unreadable("is a damaged WebP: open it in a picture editor and save it again")
    alpha = values[..., 3].copy() if values.shape[2] == 4 else None
    values = np.ascontiguousarray(values[..., :3])
    block = chunks.get(b"EXIF")
    metadata = Metadata(
        icc=chunks.get(b"ICCP"),
        exif=None if block is None else block.removeprefix(b"Exif\0\0"),
        xmp=chunks.get(b"XMP "),
    )
    return Picture.from_samples(
        Samples("rgb", values, alpha=alpha).oriented(metadata.orientation),
        format="WEBP",
        metadata=metadata.upright(),
        original_bytes=data,
    )


def encode(picture: Picture) -> bytes:
    """Write a picture as lossless WebP.

    A lossy file does not say its quality, and a second lossy encoding would change every pixel:
    the file grows, the still parts stay as they were.

    Raises:
        OutputError: It has more pixels on a side than WebP can say.
    """
    samples = convert(picture.samples, kinds=("rgb",), alpha=("rgb",), format="WebP")
    if max(samples.size) > _MAX_SIDE:
        raise OutputError(
            f"the picture is {samples.size[0]} x {samples.size[1]}, WebP ends at {_MAX_SIDE} pixels"
            " a side: choose PNG or TIFF"
        )
    metadata = picture.metadata
    out = io.BytesIO()
    pil_image(samples).save(
        out,
        "WEBP",
        lossless=True,
        quality=75,  # of a lossless file: how hard it is pressed
        method=4,
        exact=True,  # colours under full transparency are pixels too
        icc_profile=metadata.icc_for("rgb") or b"",
        exif=metadata.exif or b"",
        xmp=metadata.xmp or b"",
    )
    return out.getvalue()


def _decode_still(data: bytes) -> np.ndarray:
    # Not by Pillow, whose WebP reader has a size limit that can only be set for the whole process.
    from imagecodecs import WebpError, webp_decode

    try:
        return webp_decode(data)
    except WebpError as error:
        raise Unreadable(
            "is a damaged WebP or ends before the picture is complete: copy it again"
        ) from error


def _split(data: bytes) -> dict[bytes, bytes]:
    """The first chunk of every name, whole or cut off."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        chunks.setdefault(name, data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return chunks


def _size_of(chunks: dict[bytes, bytes]) -> tuple[int, int] | None:
    """Width and height as the file states them, before anything is decoded.

    A file may state them twice; the larger ones are what decoding could cost.
    """
    stated: list[tuple[int, int]] = []
    extended = chunks.get(b"VP8X", b"")
    if len(extended) >= 10:
        width, height = (int.from_bytes(extended[at : at + 3], "little") + 1 for at in (4, 7))
        stated.append((width, height))
    lossless = chunks.get(b"VP8L", b"")
    if len(lossless) >= 5:
        bits = int.from_bytes(lossless[1:5], "little")
        stated.append(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
    lossy = chunks.get(b"VP8 ", b"")
    if len(lossy) >= 10:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", lossy, 6))
        stated.append((width, height))
    if not stated or any(0 in size for size in stated):
        return None
    return max(size[0] for size in stated), max(size[1] for size in stated)

"""BMP: palettes of 1, 4 and 8 bits, 24-bit colour, and colour with alpha.

Read by Pillow, written here: Pillow writes no 4-bit palettes and does not say what alpha means.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace

import numpy as np
from PIL import BmpImagePlugin

from unsmear.images.formats import Tell, Unreadable, too_large
from unsmear.images.metadata import Metadata
from unsmear.images.picture import Picture
from unsmear.images.samples import Samples, convert, pack_bits

_DPI_TO_METRE = 1 / 0.0254


@dataclass(frozen=True)
class BmpSettings:
    """The header's resolution, in pixels per metre across and down."""

    per_metre: tuple[int, int] = (0, 0)


def decode(data: bytes, max_pixels: int, tell: Tell) -> Picture:
    """Read a BMP file.

    Raises:
        Unreadable: It is damaged, too large, or of a kind we do not read.
    """
    # The plugin is called directly because Image.open would apply a size limit of its own.
    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    if 0 in image.size:
        raise Unreadable("has no pixels: copy it again from where it came")
    if image.size[0] * image.size[1] > max_pixels:
        raise too_large(image.size, max_pixels)
    try:
        image.load()
    except OSError as error:
        raise Unreadable("ends before the picture is complete: copy it again") from error
    samples = replace(Picture.from_pil(image).samples, bit_depth=1 if image.mode == "1" else 8)
    per_metre = (0, 0)
    if struct.unpack_from("<I", data, 14)[0] >= 40:
        bits = struct.unpack_from("<H", data, 28)[0]
        if samples.kind == "palette" and bits in (1, 4):
            samples = replace(samples, bit_depth=bits)
        across, down = struct.unpack_from("<ii", data, 38)
        per_metre = (max(0, across), max(0, down))
    dpi = None
    if all(per_metre):
        dpi = (per_metre[0] / _DPI_TO_METRE, per_metre[1] / _DPI_TO_METRE)
    return Picture.from_samples(
        samples,
        format="BMP",
        metadata=Metadata(dpi=dpi),
        settings=BmpSettings(per_metre),
        original_bytes=data,
    )


def encode(picture: Picture) -> bytes:
    """Write a picture as BMP."""
    samples = convert(
        picture.samples, kinds=("grey", "rgb", "palette"), alpha=("rgb",), format="BMP"
    )
    settings = picture.settings
    if isinstance(settings, BmpSettings):
        per_metre = settings.per_metre
    else:
        across, down = picture.metadata.dpi or (0, 0)
        per_metre = (round(across * _DPI_TO_METRE), round(down * _DPI_TO_METRE))

    bits, palette, rows = _rows(samples)
    # Alpha needs the longer header of version 4, which says where the channels stand.
    masks = b""
    if bits == 32:
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    header_size = 40 + len(masks)
    start = 14 + header_size + len(palette)
    stride = -(-rows.shape[1] // 4) * 4
    padded = np.zeros((rows.shape[0], stride), np.uint8)
    padded[:, : rows.shape[1]] = rows[::-1]  # stored from the bottom up
    header = struct.pack(
        "<IiiHHIIiiII",
        header_size,
        *samples.size,
        1,
        bits,
        3 if masks else 0,
        padded.size,
        *per_metre,
        len(palette) // 4,
        0,
    )
    return (
        b"BM"
        + struct.pack("<IHHI", start + padded.size, 0, 0, start)
        + header
        + masks
        + palette
        + padded.tobytes()
    )


def _rows(samples: Samples) -> tuple[int, bytes, np.ndarray]:
    """Bits per pixel, colour table, and (H, bytes) rows from the top down."""
    values = samples.values
    if samples.kind == "rgb":
        channels = values[..., ::-1]
        if samples.alpha is not None:
            channels = np.dstack([channels, samples.alpha])
        return 8 * channels.shape[2], b"", channels.reshape(len(values), -1)
    if samples.kind == "grey":
        bits = 1 if samples.bit_depth == 1 else 8
        colours = np.repeat(np.linspace(0, 255, 1 << bits).astype(np.uint8)[:, None], 3, axis=1)
        values = values // 255 if bits == 1 else values
    else:
        assert samples.palette is not None
        # 2-bit palettes exist in PNG but not here.
        bits = {1: 1, 2: 4, 4: 4}.get(samples.bit_depth, 8)
        colours = samples.palette[: samples.palette_size]
    table = np.zeros((len(colours), 4), np.uint8)
    table[:, :3] = colours[:, ::-1]
    return bits, table.tobytes(), pack_bits(values, bits)

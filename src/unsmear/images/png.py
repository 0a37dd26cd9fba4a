"""PNG: 1 to 16 bits, with every side chunk carried over.

Pillow has no 16-bit colour, so those pixels go through libpng by way of imagecodecs. The chunks
around the pixels are read and written here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import PngImagePlugin

from unsmear.images import exif
from unsmear.images.formats import Tell, Unreadable, too_large
from unsmear.images.metadata import Metadata, upright_xmp
from unsmear.images.picture import Picture, full_palette
from unsmear.images.png_text import Chunk, held_in, inflate, with_block, xmp_chunk
from unsmear.images.samples import Samples, convert, pack_bits

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = (  # first row and column, and steps, of the seven passes of an interlaced picture
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)

# Written anew, or speaking of frames and colour counts that no longer hold.
_NOT_CARRIED = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"hIST", b"acTL", b"fcTL", b"fdAT"}
_KNOWN = {
    b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"sBIT", b"bKGD", b"pHYs",
    b"sPLT", b"eXIf", b"tIME", b"tEXt", b"zTXt", b"iTXt",
}  # fmt: skip
_BOUND = dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), "text fields") | {
    b"cICP": "colour coding",
    b"gAMA": "colour coding",
}
_SRGB_GAMMA = range(45000, 46000)  # in 1/100,000; what says no more than no gamma at all


class Header(NamedTuple):
    """The IHDR chunk, less what has only one value."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool = False

    def chunk(self) -> Chunk:
        """The chunk of it."""
        kind = self.depth, self.colour, 0, 0, self.interlaced
        return Chunk(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, *kind))


@dataclass(frozen=True)
class PngSettings:
    """Side chunks by place: before the palette, before the pixels, after the pixels."""

    before_palette: tuple[Chunk, ...] = ()
    before_pixels: tuple[Chunk, ...] = ()
    after_pixels: tuple[Chunk, ...] = ()


def decode(data: bytes, max_pixels: int, tell: Tell) -> Picture:
    """Read a PNG file.

    Raises:
        Unreadable: It is damaged or too large.
    """
    chunks = _split(data)
    header = _header_of(chunks)
    if header.width * header.height > max_pixels:
        raise too_large((header.width, header.height), max_pixels)
    first = {chunk.name: chunk.data for chunk in reversed(chunks)}
    if b"IDAT" not in first:
        raise Unreadable("ends before the picture begins: copy it again")
    if b"acTL" in first:
        tell("several frames", "the first one")
    metadata = _metadata_of(chunks)
    orientation = metadata.orientation
    return Picture.from_samples(
        _read_pixels(chunks, first, header).oriented(orientation),
        format="PNG",
        metadata=metadata.upright(),
        settings=_settings_of(chunks, orientation),
        original_bytes=data,
    )


def encode(picture: Picture) -> bytes:
    """Write a picture as PNG, not interlaced."""
    samples = convert(
        picture.samples,
        kinds=("grey", "rgb", "palette"),
        alpha=("grey", "rgb", "palette"),
        sixteen_bit=True,
        format="PNG",
    )
    settings = picture.settings
    if not isinstance(settings, PngSettings):
        settings = _settings_from(picture.metadata, samples)
    header, pixels = _write_pixels(samples)
    return _SIGNATURE + b"".join(
        _bytes_of(chunk)
        for chunk in (
            header,
            *settings.before_palette,
            *_colour_chunks(samples),
            *settings.before_pixels,
            *pixels,
            *settings.after_pixels,
            Chunk(b"IEND", b""),
        )
    )


# --- pixels -------------------------------------------------------------------------------------


def _header_of(chunks: Sequence[Chunk]) -> Header:
    if chunks and chunks[0].name == b"IHDR" and len(chunks[0].data) == 13:
        width, height, depth, colour, packing, filtering, interlacing = struct.unpack(
            ">IIBBBBB", chunks[0].data
        )
        sensible = (packing, filtering) == (0, 0) and interlacing in (0, 1)
        if width and height and depth in _DEPTHS.get(colour, ()) and sensible:
            return Header(width, height, depth, colour, bool(interlacing))
    raise Unreadable("is a damaged PNG: open it in a picture editor and save it again")


def _read_pixels(chunks: Sequence[Chunk], first: dict[bytes, bytes], header: Header) -> Samples:
    # Decoders see only what decides the pixels, so broken side chunks cannot stop them, and
    # transparency is not mixed into the colours.
    needed = [c for c in chunks if c.name in (b"PLTE", b"IDAT")]
    if header.depth < 16:
        values = _decode_narrow(_file_of(header, needed))
    elif header.interlaced:
        values = _decode_wide_interlaced(header, needed)
    else:
        values = _decode_wide(_file_of(header, needed))
    depth, colour, shape = header.depth, header.colour, (header.height, header.width)
    channels = _CHANNELS[colour]
    if values.shape[:2] != shape or values.size != shape[0] * shape[1] * channels:
        raise Unreadable("is a damaged PNG: open it in a picture editor and save it again")
    values = values.reshape(*shape, channels)
    alpha = values[..., -1].copy() if colour in (4, 6) else None
    values = values[..., :3] if channels >= 3 else values[..., 0]
    values = np.ascontiguousarray(values)
    transparency = first.get(b"tRNS")
    if colour == 3:
        colours = np.frombuffer(first[b"PLTE"], np.uint8)
        colours = colours[: len(colours) // 3 * 3].reshape(-1, 3)
        palette_alpha = None
        if transparency is not None:
            palette_alpha = np.full(256, 255, np.uint8)
            part = np.frombuffer(transparency[:256], np.uint8)
            palette_alpha[: len(part)] = part
        return Samples(
            "palette",
            values,
            bit_depth=depth,
            palette=full_palette(colours),
            palette_size=max(1, min(len(colours), 256)),
            palette_alpha=palette_alpha,
        )
    key = None
    if transparency is not None and alpha is None and len(transparency) >= 2 * channels:
        top = (1 << depth) - 1
        scale = 255 // top if depth < 8 else 1
        stored = struct.unpack_from(f">{channels}H", transparency)
        key = tuple((value & top) * scale for value in stored)
    return Samples(
        "rgb" if channels >= 3 else "grey", values, alpha=alpha, bit_depth=depth, key=key
    )


def _decode_wide(lean: bytes) -> np.ndarray:
    from imagecodecs import PngError, png_decode

    try:
        return png_decode(lean)
    except PngError as error:
        raise Unreadable(
            "is a damaged PNG or ends before the picture is complete: copy it again"
        ) from error


def _decode_wide_interlaced(header: Header, chunks: Sequence[Chunk]) -> np.ndarray:
    """Decode the seven small pictures of an interlaced one, and put them together.

    imagecodecs could decode it whole, but then libpng prints a warning for every picture.
    """
    channels = _CHANNELS[header.colour]
    values = np.zeros((header.height, header.width, channels), np.uint16)
    unpacker = zlib.decompressobj()
    stream = b"".join(chunk.data for chunk in chunks if chunk.name == b"IDAT")
    for y, x, down, across in _ADAM7:
        part = values[y::down, x::across]
        if not part.size:
            continue
        length = part.shape[0] * (1 + part.shape[1] * channels * 2)
        try:
            rows = unpacker.decompress(stream, length)
        except zlib.error as error:
            raise Unreadable("is a damaged PNG: copy it again") from error
        stream = unpacker.unconsumed_tail
        if len(rows) < length:
            raise Unreadable("is a PNG that ends before the picture is complete: copy it again")
        small = Header(part.shape[1], part.shape[0], 16, header.colour)
        decoded = _decode_wide(_file_of(small, [Chunk(b"IDAT", zlib.compress(rows, 0))]))
        part[:] = decoded.reshape(part.shape)
    return values


def _decode_narrow(lean: bytes) -> np.ndarray:
    # The plugin is called directly because Image.open would apply a size limit of its own.
    image = PngImagePlugin.PngImageFile(io.BytesIO(lean))
    try:
        image.load()
    except (OSError, SyntaxError) as error:
        raise Unreadable(
            "is a damaged PNG or ends before the picture is complete: copy it again"
        ) from error
    values = np.array(image)
    return values.astype(np.uint8) * np.uint8(255) if image.mode == "1" else values


def _write_pixels(samples: Samples) -> tuple[Chunk, list[Chunk]]:
    values, width, height = samples.values, *samples.size
    depth = 16 if values.dtype == np.uint16 else samples.bit_depth
    if samples.kind == "palette" or depth < 8:
        colour = 3 if samples.kind == "palette" else 0
        packed = pack_bits(values if colour == 3 else values // (255 // ((1 << depth) - 1)), depth)
        # Filters help neither indices nor packed bits: a 0 before each row says "none".
        rows = np.zeros((height, packed.shape[1] + 1), np.uint8)
        rows[:, 1:] = packed
        pixels = [Chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))]
        return Header(width, height, depth, colour).chunk(), pixels
    from imagecodecs import png_encode

    if samples.alpha is not None:
        values = np.dstack([values, samples.alpha])
    chunks = _split(bytes(png_encode(np.ascontiguousarray(values))))
    return chunks[0], [chunk for chunk in chunks if chunk.name == b"IDAT"]


def _colour_chunks(samples: Samples) -> list[Chunk]:
    chunks = []
    if samples.kind == "palette":
        assert samples.palette is not None
        chunks.append(Chunk(b"PLTE", samples.palette[: samples.palette_size].tobytes()))
        if samples.palette_alpha is not None:
            entries = samples.palette_alpha[: samples.palette_size]
            clear = np.flatnonzero(entries != 255)  # opaque entries at the end need not be said
            chunks.append(Chunk(b"tRNS", entries[: clear[-1] + 1 if clear.size else 1].tobytes()))
    elif samples.key is not None:
        depth = samples.bit_depth
        scale = 255 // ((1 << depth) - 1) if depth < 8 else 1
        stored = [value // scale for value in samples.key]
        chunks.append(Chunk(b"tRNS", struct.pack(f">{len(stored)}H", *stored)))
    return chunks


# --- chunks -------------------------------------------------------------------------------------


def _split(data: bytes) -> list[Chunk]:
    """Cut a file into chunks; one cut off at the end is kept short. Checksums are not looked at."""
    chunks: list[Chunk] = []
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if not name.isalpha():
            break
        chunks.append(Chunk(name, data[at + 8 : at + 8 + length]))
        if name == b"IEND":
            break
        at += 12 + length
    return chunks


def _file_of(header: Header, chunks: Sequence[Chunk]) -> bytes:
    return _SIGNATURE + b"".join(map(_bytes_of, [header.chunk(), *chunks, Chunk(b"IEND", b"")]))


def _bytes_of(chunk: Chunk) -> bytes:
    body = chunk.name + chunk.data
    return struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body))


def _settings_of(chunks: Iterable[Chunk], orientation: int) -> PngSettings:
    places: tuple[list[Chunk], list[Chunk], list[Chunk]] = ([], [], [])
    place = 0
    for chunk in chunks:
        if chunk.name in (b"PLTE", b"tRNS"):
            place = max(place, 1)
        elif chunk.name == b"IDAT":
            place = 2
        # A lower-case last letter declares a chunk safe to copy beside changed pixels.
        known = chunk.name in _KNOWN or (chunk.name[:1].islower() and chunk.name[3:].islower())
        if chunk.name not in _NOT_CARRIED and known:
            places[place].append(_upright(chunk, orientation))
    return PngSettings(*(tuple(found) for found in places))


def _upright(chunk: Chunk, orientation: int) -> Chunk:
    if chunk.name == b"eXIf":
        return Chunk(b"eXIf", exif.upright(chunk.data, orientation))
    if chunk.name == b"pHYs" and len(chunk.data) == 9 and orientation >= 5:
        return Chunk(b"pHYs", chunk.data[4:8] + chunk.data[:4] + chunk.data[8:])
    held = held_in(chunk)
    if held is None:
        return chunk
    is_exif = held.kind == "exif"
    return with_block(
        chunk, exif.upright(held.block, orientation) if is_exif else upright_xmp(held.block)
    )


def _settings_from(metadata: Metadata, samples: Samples) -> PngSettings:
    """Side chunks for a picture that comes from another format."""
    before: list[Chunk] = []
    profile = metadata.icc_for(samples.kind)
    if profile is not None:
        before.append(Chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if metadata.dpi is not None:
        per_metre = [min(round(d / 0.0254), 2**31 - 1) for d in metadata.dpi]
        before.append(Chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if metadata.exif is not None:
        before.append(Chunk(b"eXIf", metadata.exif))
    if metadata.xmp is not None:
        before.append(xmp_chunk(metadata.xmp))
    return PngSettings(before_palette=tuple(before))


def _metadata_of(chunks: Sequence[Chunk]) -> Metadata:
    icc = block = dpi = None
    spelled: dict[str, bytes] = {}  # the first of each kind
    bound: dict[str, None] = {}  # in their order, each once
    for chunk in chunks:
        if chunk.name == b"iCCP" and icc is None:
            _, _, rest = chunk.data.partition(b"\0")
            icc = inflate(rest[1:])
        elif chunk.name == b"eXIf" and block is None:
            block = chunk.data
        elif chunk.name == b"pHYs" and len(chunk.data) == 9:
            across, down, unit = struct.unpack(">IIB", chunk.data)
            if unit == 1 and across and down:
                dpi = (across * 0.0254, down * 0.0254)
        elif (held := held_in(chunk)) is not None:
            spelled.setdefault(held.kind, held.block)
        elif chunk.name in _BOUND and not (chunk.name == b"gAMA" and _is_idle(chunk, chunks)):
            bound[_BOUND[chunk.name]] = None
    if block is None:
        block = spelled.get("exif")
    return Metadata(icc=icc, exif=block, xmp=spelled.get("xmp"), dpi=dpi, bound=tuple(bound))


def _is_idle(gamma: Chunk, chunks: Iterable[Chunk]) -> bool:
    """Whether a gamma is sRGB's, or others say of the colours what counts more."""
    is_usual = int.from_bytes(gamma.data, "big") in _SRGB_GAMMA
    return is_usual or any(each.name in (b"iCCP", b"sRGB", b"cICP") for each in chunks)

"""Small files of every kind, made without the code under test."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image, ImageCms

HEIGHT, WIDTH = 37, 53  # no multiple of anything, so borders are tested too

_ICC_OF_NOW = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ICC = _ICC_OF_NOW[:24] + bytes(12) + _ICC_OF_NOW[36:]  # without the time
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:Description tiff:Orientation="%d" dc:title="a cat"/></x:xmpmeta><?xpacket end="w"?>'
)


def scene(height: int = HEIGHT, width: int = WIDTH, dtype: type = np.uint8) -> np.ndarray:
    """(H, W, 3): soft colours with some noise, away from black and white."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + y / 11 + phase) for phase in (0.0, 1.0, 2.5)]
    rgb = 0.5 + 0.3 * np.stack(waves, axis=2)
    rgb += np.random.default_rng(5).normal(0, 0.02, rgb.shape)
    top = np.iinfo(dtype).max
    return np.clip(np.round(rgb * top), 0, top).astype(dtype)


def grey(dtype: type = np.uint8) -> np.ndarray:
    return scene(dtype=dtype)[..., 1].copy()


def alpha(dtype: type = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.linspace(0, top, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(dtype)


def pillow(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    values: np.ndarray,
    depth: int,
    colour: int,
    *,
    interlaced: bool = False,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG of (H, W) or (H, W, C) stored values, all rows unfiltered."""
    values = values.reshape(*values.shape[:2], -1)

    def rows(part: np.ndarray) -> bytes:
        if not part.size:
            return b""
        flat = part.reshape(len(part), -1)
        if depth == 16:
            packed = flat.astype(">u2").view(np.uint8)
        else:
            bits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
            packed = np.packbits(bits.reshape(len(flat), -1), axis=1)
        return b"".join(b"\0" + row.tobytes() for row in packed)

    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    data = b"".join(rows(values[y::dy, x::dx]) for y, x, dy, dx in passes)
    size = values.shape[1], values.shape[0]
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(data))
        + after
        + chunk(b"IEND", b"")
    )


def tiff(values: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, metadata=None, **options)
    return out.getvalue()


def exif_block(orientation: int = 1, order: str = "<", preview: bool = False) -> bytes:
    """Orientation, a camera name, GPS, a maker note and sizes, laid out by hand."""

    def entry(tag: int, kind: int, count: int, value: bytes | int) -> bytes:
        form = {3: "HH", 4: "I"}.get(kind, "I")
        if isinstance(value, bytes):
            packed = value.ljust(4, b"\0")
        else:
            packed = struct.pack(order + form, value, *[0] * (len(form) - 1))
        return struct.pack(order + "HHI", tag, kind, count) + packed

    main_at, camera = 8, b"Kodachrome 64\0"
    main_size = 2 + 4 * 12 + 4
    camera_at = main_at + main_size
    exif_at = camera_at + len(camera)
    exif_size = 2 + 3 * 12 + 4
    note = b"maker note with \xff\xd8 in it\0\0"
    note_at = exif_at + exif_size
    gps_at = note_at + len(note)
    gps_size = 2 + 2 * 12 + 4
    latitude = struct.pack(order + "6I", 52, 1, 31, 1, 12, 1)
    latitude_at = gps_at + gps_size
    preview_at = latitude_at + len(latitude) if preview else 0
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", main_at)
    main = struct.pack(order + "H", 4)
    main += entry(271, 2, len(camera), camera_at) + entry(274, 3, 1, orientation)
    main += entry(34665, 4, 1, exif_at) + entry(34853, 4, 1, gps_at)
    main += struct.pack(order + "I", preview_at)
    details = struct.pack(order + "H", 3) + entry(37500, 7, len(note), note_at)
    details += entry(40962, 4, 1, WIDTH) + entry(40963, 4, 1, HEIGHT) + bytes(4)
    gps = struct.pack(order + "H", 2) + entry(1, 2, 2, b"N\0") + entry(2, 5, 3, latitude_at)
    block = head + main + camera + details + note + gps + bytes(4) + latitude
    if preview:
        block += struct.pack(order + "H", 1) + entry(259, 3, 1, 6) + bytes(4)
    return block


@dataclass(frozen=True)
class Case:
    """A file and what reading it must say."""

    name: str
    format: str
    make: Callable[[], bytes]
    kind: str
    bit_depth: int = 8
    has_alpha: bool = False
    lossless: bool = True

    def __str__(self) -> str:
        return self.name


def _image(mode: str) -> Image.Image:
    image = Image.fromarray(scene())
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(alpha()))
        return image
    return image.convert(mode)


def _planes(kind: str, dtype: type = np.uint8) -> np.ndarray:
    rgb = scene(dtype=dtype)
    return {
        "grey": rgb[..., 1],
        "greya": np.dstack([rgb[..., 1], alpha(dtype)]),
        "rgb": rgb,
        "rgba": np.dstack([rgb, alpha(dtype)]),
        "cmyk": np.dstack([rgb, rgb[..., 0] // 4]),
    }[kind]


def _palette_png(depth: int, clear: bool = False, interlaced: bool = False) -> bytes:
    count = 1 << depth
    colours = np.random.default_rng(depth).integers(0, 256, (count, 3), dtype=np.uint8)
    before = chunk(b"PLTE", colours.tobytes())
    if clear:
        before += chunk(b"tRNS", bytes((0, 128)))
    return png(scene()[..., 0] & (count - 1), depth, 3, before=before, interlaced=interlaced)


def _tiff_palette() -> bytes:
    colours = np.random.default_rng(1).integers(0, 65536, (3, 256), dtype=np.uint16)
    return tiff(grey(), photometric="palette", colormap=colours, compression="lzw")


def _animated_free(mode: str, **options: object) -> Callable[[], bytes]:
    return lambda: pillow(_image(mode), "WEBP", **options)


def _jpeg(mode: str, **options: object) -> Callable[[], bytes]:
    return lambda: pillow(_image(mode), "JPEG", quality=90, **options)


def _keyed(depth: int, colour: int) -> Callable[[], bytes]:
    def make() -> bytes:
        dtype = np.uint16 if depth == 16 else np.uint8
        values = scene(dtype=dtype) if colour == 2 else grey(dtype)
        if depth < 8:
            values = values >> (8 - depth)
        key = np.atleast_1d(values[3, 4])
        return png(values, depth, colour, before=chunk(b"tRNS", key.astype(">u2").tobytes()))

    return make


CASES = [
    *[Case(f"jpeg-{s}", "JPEG", _jpeg("RGB", subsampling=n), "rgb", lossless=False)
      for n, s in enumerate(("444", "422", "420"))],
    Case("jpeg-progressive", "JPEG", _jpeg("RGB", progressive=True), "rgb", lossless=False),
    Case("jpeg-stored-rgb", "JPEG", _jpeg("RGB", keep_rgb=True), "rgb", lossless=False),
    Case("jpeg-grey", "JPEG", _jpeg("L"), "grey", lossless=False),
    Case("jpeg-cmyk", "JPEG", _jpeg("CMYK"), "cmyk", lossless=False),
    *[Case(f"png-grey-{d}", "PNG", lambda d=d: png(grey() >> (8 - d), d, 0), "grey", d)
      for d in (1, 2, 4, 8)],
    *[Case(f"png-grey-{d}-interlaced", "PNG",
           lambda d=d: png(grey() >> (8 - d), d, 0, interlaced=True), "grey", d) for d in (1, 8)],
    *[Case(f"png-palette-{d}", "PNG", lambda d=d: _palette_png(d), "palette", d)
      for d in (1, 2, 4, 8)],
    Case("png-palette-clear", "PNG", lambda: _palette_png(4, clear=True), "palette", 4),
    Case("png-palette-interlaced", "PNG", lambda: _palette_png(4, interlaced=True), "palette", 4),
    *[Case(f"png-{k}-{d}{'-interlaced' * i}", "PNG",
           lambda k=k, d=d, c=c, i=i: png(
               _planes(k, np.uint16 if d == 16 else np.uint8), d, c, interlaced=i),
           k.removesuffix("a"), d, k.endswith("a"))
      for k, c in (("grey", 0), ("greya", 4), ("rgb", 2), ("rgba", 6))
      for d in (8, 16) for i in (False, True)],
    *[Case(f"png-key-{'rgb' if c else 'grey'}-{d}", "PNG", _keyed(d, c), "rgb" if c else "grey", d)
      for d, c in ((2, 0), (8, 0), (16, 0), (8, 2), (16, 2))],
    *[Case(f"tiff-{k}-{8 * np.dtype(t).itemsize}-{n}", "TIFF",
           lambda k=k, t=t, o=o: tiff(
               _planes(k, t),
               photometric={"g": "minisblack", "r": "rgb", "c": "separated"}[k[0]],
               **({"extrasamples": ["unassalpha"], "planarconfig": "contig"}
                  if k.endswith("a") else {}), **o),
           k.removesuffix("a"), 8 * np.dtype(t).itemsize, k.endswith("a"))
      for k in ("grey", "greya", "rgb", "rgba", "cmyk") for t in (np.uint8, np.uint16)
      for n, o in (("plain", {}), ("lzw-big", {"compression": "lzw", "byteorder": ">"}),
                   ("tiled", {"compression": "zlib", "tile": (16, 32), "predictor": True}))],
    Case("tiff-planes", "TIFF", lambda: tiff(
        np.moveaxis(scene(), 2, 0), photometric="rgb", planarconfig="separate",
        compression="packbits"), "rgb"),
    Case("tiff-white-is-0", "TIFF", lambda: tiff(grey(), photometric="miniswhite"), "grey"),
    Case("tiff-premultiplied", "TIFF", lambda: tiff(
        np.dstack([np.minimum(scene(), alpha()[..., None]), alpha()]), photometric="rgb",
        extrasamples=["assocalpha"]), "rgb", has_alpha=True),
    Case("tiff-1", "TIFF", lambda: tiff(grey() > 127, photometric="minisblack"), "grey", 1),
    Case("tiff-1-fax", "TIFF", lambda: pillow(_image("1"), "TIFF", compression="group4"),
         "grey", 1),
    Case("tiff-palette", "TIFF", _tiff_palette, "palette"),
    Case("tiff-zstd", "TIFF", lambda: tiff(scene(), photometric="rgb", compression="zstd"), "rgb"),
    Case("tiff-bigtiff", "TIFF", lambda: tiff(scene(), photometric="rgb", bigtiff=True), "rgb"),
    Case("tiff-jpeg", "TIFF", lambda: pillow(_image("RGB"), "TIFF", compression="jpeg"), "rgb"),
    Case("webp-lossless", "WEBP", _animated_free("RGB", lossless=True), "rgb"),
    Case("webp-lossless-alpha", "WEBP", _animated_free("RGBA", lossless=True, exact=True), "rgb",
         has_alpha=True),
    Case("webp-lossy", "WEBP", _animated_free("RGB", quality=90), "rgb"),
    Case("webp-lossy-alpha", "WEBP", _animated_free("RGBA", quality=90), "rgb", has_alpha=True),
    *[Case(f"bmp-{m}", "BMP", lambda m=m: pillow(_image(m), "BMP"), k, d)
      for m, k, d in (("1", "grey", 1), ("L", "grey", 8), ("P", "palette", 8), ("RGB", "rgb", 8))],
]  # fmt: skip

CASES_BY_NAME = {case.name: case for case in CASES}
LOSSLESS = [case for case in CASES if case.lossless]

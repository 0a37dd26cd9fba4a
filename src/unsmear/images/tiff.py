"""TIFF: 1, 8 and 16 bits, strips and tiles, either byte order, with all tags that describe.

tifffile reads and writes the pixels. The tags around them are copied here as they stand, because
tifffile writes no EXIF and GPS directories.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from unsmear.errors import OutputError
from unsmear.images import exif
from unsmear.images.exif import ByteOrder, Directory, Entry
from unsmear.images.formats import Tell, Unreadable, too_large
from unsmear.images.iptc import has_paths, iptc_in, without_previews
from unsmear.images.metadata import Metadata
from unsmear.images.picture import Picture, full_palette
from unsmear.images.samples import Kind, Samples, convert

if TYPE_CHECKING:
    from tifffile import TiffPage

# tifffile reports oddities of a file here; without a handler Python would print them.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_XMP, _ICC = 700, 34675
_IPTC, _PHOTOSHOP = 33723, 34377
_SOURCE = 37724  # of Photoshop: its layers, among other things
_LAYERS = re.compile(rb"(8B(IM|64)(Layr|Lr16|Lr32)|(MI|46)B8(ryaL|61rL|23rL))(?!\0{4})")
_SUBFILE, _SUBIFDS, _DNG_VERSION = 254, 330, 50706
_CLASSIC_LIMIT = 1 << 32

# Tags that say how the pixels are stored: written by tifffile, never copied.
_STRUCTURAL = frozenset(
    {_XMP, _ICC, _SOURCE, 50255}
    | {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284}
    | {288, 289, 290, 291, 292, 293, 297, 301, 317, 320, 321, 322, 323, 324, 325, 330}
    | {332, 334, 336, 338, 339, 340, 341, 342, 347, 400, 529, 530, 531, 532, 559}
    | set(range(512, 522))
)

_LOSSLESS = {1: "none", 5: "lzw", 8: "zlib", 32946: "zlib", 32773: "packbits", 50000: "zstd"}
_NUMBERS = (
    "imagewidth",
    "imagelength",
    "imagedepth",
    "tilewidth",
    "tilelength",
    "rowsperstrip",
    "samplesperpixel",
    "sampleformat",
    "photometric",
    "planarconfig",
    "compression",
    "predictor",
)


@dataclass(frozen=True)
class TiffSettings:
    """How a TIFF was made.

    Attributes:
        order: Byte order.
        compression: tifffile's name of it; lossy ones become "zlib".
        predictor: Whether differences of neighbours were compressed.
        tile: Tile height and width, None for strips.
        rows_per_strip: Height of a strip, where stated.
        separate: Whether every channel has a plane of its own.
        inverted: Whether 0 is white, for grey.
        alpha_tag: What the file says its extra channel is: 0 nothing, 1 premultiplied alpha, 2
            alpha.
        colormap: (3, N) uint16, the palette as stored.
        photoshop: The tags of IPTC data and Photoshop's resources, of no use in an EXIF block.
    """

    order: ByteOrder = "<"
    compression: str = "zlib"
    predictor: bool = True
    tile: tuple[int, int] | None = None
    rows_per_strip: int | None = None
    separate: bool = False
    inverted: bool = False
    alpha_tag: int = 2
    colormap: np.ndarray | None = None
    photoshop: Mapping[int, Entry] = field(default_factory=dict)


def decode(data: bytes, max_pixels: int, tell: Tell) -> Picture:
    """Read a TIFF file.

    Raises:
        Unreadable: It is damaged, too large, or of a kind we do not read.
    """
    from tifffile import TiffFile

    directories = list(exif.read_directories(data))
    order: ByteOrder = "<" if data[:2] == b"II" else ">"
    main = directories[0] if directories else Directory()
    if _is_raw(main, order):
        raise Unreadable(
            "is a camera raw file, which is not supported: convert it to PNG, JPEG or TIFF first"
        )
    if sum(not _is_preview(directory, order) for directory in directories[1:]):
        tell("several pages", "the first one")
    source = main.entries.get(_SOURCE)
    if source is not None and _LAYERS.search(source.data):
        tell("layers", "the picture they make")
    with TiffFile(io.BytesIO(data), _multifile=False) as tiff:
        page: Any = tiff.pages.first
        kind = _check(page, max_pixels)
        values = page.asarray(squeeze=False, maxworkers=1)
        colormap = page.colormap if kind == "palette" else None
        metadata = _metadata_of(main, order)
        settings = _settings_of(page, order, main)
    samples = _samples_of(page, kind, values, colormap)
    orientation = metadata.orientation
    return Picture.from_samples(
        samples.oriented(orientation),
        format="TIFF",
        metadata=metadata.upright(),
        settings=settings,
        original_bytes=data,
    )


def encode(picture: Picture) -> bytes:
    """Write a picture as TIFF.

    Raises:
        OutputError: It is too large for the format.
    """
    from tifffile import imwrite

    samples = convert(
        picture.samples,
        kinds=("grey", "rgb", "cmyk", "palette"),
        alpha=("grey", "rgb", "cmyk"),
        sixteen_bit=True,
        format="TIFF",
    )
    if samples.values.nbytes + (0 if samples.alpha is None else samples.alpha.nbytes) > 4e9:
        raise OutputError("the picture is too large for TIFF: choose PNG")
    settings = picture.settings
    block = picture.metadata.exif
    block_order = exif.byte_order(block or b"")
    if not isinstance(settings, TiffSettings):
        settings = TiffSettings(
            order=block_order or "<",
            alpha_tag=1 if samples.premultiplied else 2,
            photoshop=_photoshop_from(picture.metadata),
        )
    values, options = _stored(samples, settings)
    out = io.BytesIO()
    imwrite(
        out,
        values,
        byteorder=settings.order,
        bigtiff=False,
        metadata=None,
        software=False,
        iccprofile=picture.metadata.icc_for(samples.kind),
        maxworkers=1,
        **options,
    )
    written = out.getvalue()
    described = Directory()
    if block is not None and block_order == settings.order:
        described = next(exif.read_directories(block), described)
    described.entries.update(settings.photoshop)
    return _with_tags(written, described, settings.order, picture.metadata)


# --- reading ------------------------------------------------------------------------------------


def _check(page: TiffPage, max_pixels: int) -> Kind:
    """Refuse what we cannot read before any pixel is decoded.

    Returns:
        The kind of the pixels.
    """
    # A tag with many values where one belongs comes as a tuple, and a tuple multiplied by a height
    # is a very long tuple.
    for said in _NUMBERS:
        if not isinstance(getattr(page, said), int | None):
            raise Unreadable("is a damaged TIFF: open it in a picture editor and save it again")
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    if not width or not height:
        raise Unreadable("has no pixels: copy it again from where it came")
    if width * height > max_pixels:
        raise too_large((width, height), max_pixels)
    if page.is_tiled and page.tilewidth * page.tilelength > max(max_pixels, 1 << 22):
        raise too_large((page.tilewidth, page.tilelength), max_pixels)
    photometric = int(page.photometric)
    if photometric == 6 and int(page.compression) in (6, 7):
        photometric = 2  # JPEG inside TIFF: its decoder makes RGB of it
    kinds: dict[int, Kind] = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk"}
    kind = kinds.get(photometric)
    bits = page.bitspersample
    channels = {"grey": 1, "rgb": 3, "palette": 1, "cmyk": 4}.get(kind or "", 0)
    numbers = {1: "", 2: ", signed"}.get(int(page.sampleformat or 1), ", not whole numbers")
    most = 16 if kind != "palette" else 8
    if kind is None:
        raise Unreadable(
            "is a TIFF in a colour space that is not supported: save it as RGB or grey first"
        )
    if numbers or bits not in (1, 2, 4, 8, 16) or bits > most:
        raise Unreadable(
            f"is a TIFF of {bits} bits per sample{numbers}, which is not supported: save it with 8"
            " or 16 bits first"
        )
    extra = samples - channels
    if extra not in (0, 1) or (extra and kind == "palette") or page.imagedepth != 1:
        raise Unreadable(
            f"is a TIFF of {samples} channels, which is not supported: save it as RGB or grey first"
        )
    if bits < 8 and samples > 1:
        raise Unreadable(
            f"is a TIFF of {bits}-bit channels, which is not supported: save it with 8 bits first"
        )
    return kind


def _samples_of(page: TiffPage, kind: Kind, values: np.ndarray, colormap: Any) -> Samples:
    channels = page.samplesperpixel
    shape = (page.imagelength, page.imagewidth)
    if int(page.planarconfig or 1) == 2 and channels > 1:
        values = np.moveaxis(values.reshape(channels, *shape), 0, 2)
    values = values.reshape(*shape, channels)
    bits = page.bitspersample
    if bits <= 8:
        values = values.astype(np.uint8)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if kind == "palette":
        colours = (np.asarray(colormap).T >> 8).astype(np.uint8)  # (N, 3)
        return Samples(
            "palette",
            np.ascontiguousarray(values[..., 0]),
            bit_depth=bits,
            palette=full_palette(colours),
            palette_size=min(len(colours), 256),
        )
    if bits < 8:
        values = values * np.uint8(255 // ((1 << bits) - 1))
    base = {"grey": 1, "rgb": 3, "cmyk": 4}[kind]
    alpha = np.ascontiguousarray(values[..., base]) if channels > base else None
    values = values[..., 0] if kind == "grey" else values[..., :base]
    if int(page.photometric) == 0:
        values = np.iinfo(values.dtype).max - values
    return Samples(
        kind,
        np.ascontiguousarray(values),
        alpha=alpha,
        bit_depth=bits,
        premultiplied=alpha is not None and _alpha_tag(page) == 1,
    )


def _settings_of(page: TiffPage, order: ByteOrder, main: Directory) -> TiffSettings:
    compression = _LOSSLESS.get(int(page.compression), "zlib")
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else None
    if tile is not None and (tile[0] % 16 or tile[1] % 16):
        tile = None
    return TiffSettings(
        order=order,
        compression=compression,
        predictor=int(page.predictor or 1) == 2,
        tile=tile,
        rows_per_strip=None if page.is_tiled else page.rowsperstrip,
        separate=int(page.planarconfig or 1) == 2 and page.samplesperpixel > 1,
        inverted=int(page.photometric) == 0,
        alpha_tag=_alpha_tag(page),
        colormap=None if page.colormap is None else np.asarray(page.colormap),
        photoshop=_photoshop_in(main),
    )


def _photoshop_in(main: Directory) -> dict[int, Entry]:
    found = {tag: main.entries[tag] for tag in (_IPTC, _PHOTOSHOP) if tag in main.entries}
    if _PHOTOSHOP in found:
        resources = without_previews(found.pop(_PHOTOSHOP).data)
        if resources:
            found[_PHOTOSHOP] = Entry(1, len(resources), resources)
    return found


def _alpha_tag(page: TiffPage) -> int:
    extra = page.extrasamples
    return int(extra[0]) if extra and int(extra[0]) in (1, 2) else 0


def _metadata_of(main: Directory, order: ByteOrder) -> Metadata:
    apart = _STRUCTURAL | {_IPTC, _PHOTOSHOP}
    kept = Directory(
        {tag: entry for tag, entry in main.entries.items() if tag not in apart}, main.below
    )
    icc, xmp, resources = (main.entries.get(tag) for tag in (_ICC, _XMP, _PHOTOSHOP))
    cut_out = resources is not None and has_paths(resources.data)
    return Metadata(
        icc=(icc and icc.data) or None,
        exif=exif.make_block(kept, order) if kept.entries or kept.below else None,
        xmp=(xmp and xmp.data) or None,
        dpi=exif.directory_resolution(main, order),
        iptc=_iptc_of(main),
        bound=("Photoshop paths",) if cut_out else (),
    )


def _iptc_of(main: Directory) -> bytes | None:
    own, resources = (main.entries.get(tag) for tag in (_IPTC, _PHOTOSHOP))
    if own is not None and own.data.startswith(b"\x1c"):  # some programs turn its bytes round
        return own.data
    return None if resources is None else iptc_in(resources.data)


def _is_preview(directory: Directory, order: ByteOrder) -> bool:
    kind = directory.entries.get(_SUBFILE)
    return kind is not None and bool((kind.integer(order) or 0) & 5)  # reduced size, or a mask


def _is_raw(main: Directory, order: ByteOrder) -> bool:
    # A raw file's first directory is a preview; the sensor's data are below it.
    if _DNG_VERSION in main.entries:
        return True
    return _SUBIFDS in main.entries and _is_preview(main, order)


# --- writing ------------------------------------------------------------------------------------


def _stored(samples: Samples, settings: TiffSettings) -> tuple[np.ndarray, dict[str, Any]]:
    """The array as tifffile wants it, and the options that say what it is."""
    values = samples.values
    options: dict[str, Any] = {"compression": settings.compression, "planarconfig": "contig"}
    inverted = settings.inverted and samples.kind == "grey"
    options["photometric"] = {
        "grey": "miniswhite" if inverted else "minisblack",
        "rgb": "rgb",
        "cmyk": "separated",
        "palette": "palette",
    }[samples.kind]
    if inverted:
        values = samples.max_value - values
    if samples.alpha is not None:
        values = np.dstack([values, samples.alpha])
        options["extrasamples"] = [settings.alpha_tag]
    if settings.separate and values.ndim == 3:
        values = np.ascontiguousarray(np.moveaxis(values, 2, 0))
        options["planarconfig"] = "separate"
    elif values.ndim == 2:
        del options["planarconfig"]
    bilevel = samples.kind == "grey" and samples.bit_depth == 1
    if bilevel:
        values = values > 127
    if samples.kind == "palette":
        assert samples.palette is not None
        stored = settings.colormap
        if stored is None:
            stored = samples.palette.T.astype(np.uint16) * 257
        stored = stored[:, :256]
        options["colormap"] = np.pad(stored, ((0, 0), (0, 256 - stored.shape[1])))
    if settings.tile is not None and not bilevel:
        options["tile"] = settings.tile
    elif settings.rows_per_strip and not bilevel:
        options["rowsperstrip"] = min(settings.rows_per_strip, samples.size[1])
    differences = settings.compression in ("lzw", "zlib", "zstd")
    if settings.predictor and differences and samples.kind != "palette" and not bilevel:
        options["predictor"] = True
    return values, options


def _photoshop_from(metadata: Metadata) -> dict[int, Entry]:
    """The tags for a picture that comes from another format."""
    if metadata.iptc is None:
        return {}
    return {_IPTC: Entry(7, len(metadata.iptc), metadata.iptc)}


def _with_tags(written: bytes, described: Directory, order: ByteOrder, metadata: Metadata) -> bytes:
    """Put the describing tags into a file that has only the storing ones.

    The new directory goes to the end of the file and the header is pointed at it, so that the
    pixels, which are found by their offsets, stay where they are.
    """
    main = next(exif.read_directories(written))
    tags = {tag: entry for tag, entry in main.entries.items() if tag in _STRUCTURAL}
    tags.update({tag: entry for tag, entry in described.entries.items() if tag not in _STRUCTURAL})
    tags[exif.ORIENTATION] = Entry(3, 1, struct.pack(order + "H", 1))
    if metadata.xmp is not None:
        tags[_XMP] = Entry(1, len(metadata.xmp), metadata.xmp)
    if metadata.dpi is not None and exif.directory_resolution(described, order) is None:
        for tag, dots in zip((exif.X_RESOLUTION, exif.Y_RESOLUTION), metadata.dpi, strict=True):
            ratio = Fraction(dots).limit_denominator(10000)
            tags[tag] = Entry(5, 1, struct.pack(order + "II", ratio.numerator, ratio.denominator))
        tags[exif.RESOLUTION_UNIT] = Entry(3, 1, struct.pack(order + "H", 2))
    at = len(written) + len(written) % 2
    tail = exif.lay_out(Directory(tags, described.below), order, at)
    if at + len(tail) >= _CLASSIC_LIMIT:
        raise OutputError("the picture is too large for TIFF: choose PNG")
    head = written[:4] + struct.pack(order + "I", at)
    return head + written[8:].ljust(at - 8, b"\0") + tail

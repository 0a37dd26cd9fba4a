"""JPEG: the same tables, subsampling and segments out as came in.

JPEG stores blocks of frequencies of brightness and (often fewer) colour samples, not RGB. A changed
file keeps the very numbers of each block without a changed pixel (`jpeg_scan`, `jpeg_blocks`).

Where they cannot be had (arithmetic coding, and pictures to be turned whose sides are not whole
blocks), the file is encoded again, with the same tables. Doing that with decoded RGB would move
untouched pixels, mostly because the smoothing that decoders apply to the coarse colour samples is
not undone when they are made again, and because blocks reach beyond the picture's right and lower
border, where the new encoder has to guess. So untouched pixels are encoded from the stored samples
themselves: `_stored_planes` gets them from the original file, without smoothing and with what lies
beyond the border, and only touched pixels are converted from RGB.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, JpegImagePlugin

from unsmear.errors import OutputError
from unsmear.images.formats import Tell, Unreadable, too_large
from unsmear.images.jpeg_blocks import change_blocks, component_weights, turn_blocks
from unsmear.images.jpeg_following import following, with_following, without_gain_map
from unsmear.images.jpeg_metadata import (
    adobe_transform,
    carried_segments,
    is_adobe,
    metadata_in,
    segments_from,
    stores_rgb,
)
from unsmear.images.jpeg_scan import Unkept
from unsmear.images.jpeg_scan_reading import read_scan
from unsmear.images.jpeg_scan_writing import write_scan
from unsmear.images.jpeg_segments import APP0, COM, EOI, Segment, picture_end, split
from unsmear.images.picture import Picture, pil_image
from unsmear.images.samples import Kind, Samples, convert, orient

_END = bytes((0xFF, EOI))
_MAX_SIDE = 65500  # libjpeg's own limit
# Baseline, extended and progressive, coded by Huffman or arithmetically.
_PROCESSES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_SUBSAMPLINGS: dict[tuple[tuple[int, int], ...], int] = {
    ((1, 1), (1, 1), (1, 1)): 0,
    ((2, 1), (1, 1), (1, 1)): 1,
    ((2, 2), (1, 1), (1, 1)): 2,
}


@dataclass(frozen=True)
class JpegSettings:
    """How a JPEG was made.

    Attributes:
        tables: Quantisation tables by component, 64 values each in row order; the last one counts
            for the components left.
        subsampling: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0: Pillow's numbers.
        progressive: Whether the scan order was progressive.
        stores_rgb: The components are red, green and blue, not brightness and colour.
        segments: Application segments and comments to be written again, in their order.
        orientation: How the stored pixels were turned to stand upright.
    """

    tables: tuple[tuple[int, ...], ...] | None = None
    subsampling: int = 0
    progressive: bool = False
    stores_rgb: bool = False
    segments: tuple[Segment, ...] | None = None
    orientation: int = 1


def decode(data: bytes, max_pixels: int, tell: Tell) -> Picture:
    """Read a JPEG file.

    Raises:
        Unreadable: It is damaged, too large, or of a kind we do not read.
    """
    segments, scan = split(data)
    _check_process(segments)
    metadata = metadata_in(segments)
    has_further, behind = following(data)
    bound = list(metadata.bound)
    if has_further and metadata.orientation != 1:
        tell("several pictures", "the first one")
    elif has_further:
        bound.append("further pictures")
    if behind.strip(b"\0"):
        bound.append("film" if b"ftyp" in behind else "trailing data")
    metadata = replace(metadata, bound=tuple(bound))
    if has_further and metadata.xmp is not None:  # no other format holds them
        metadata = replace(metadata, xmp=without_gain_map(metadata.xmp))
    image = _open(segments, data[scan:])
    if image.size[0] * image.size[1] > max_pixels:
        raise too_large(image.size, max_pixels)
    if image.mode not in ("L", "RGB", "CMYK"):
        raise Unreadable(f"is a JPEG of mode {image.mode}, which is not supported: save it as RGB")
    if _lacks_only_its_end(data, scan):
        data += _END
        image = _open(segments, data[scan:])
    layers = [(layer[0], (layer[1], layer[2]), layer[3]) for layer in image.layer]
    tables = [tuple(image.quantization[table]) for _, _, table in layers]
    is_rgb = stores_rgb(segments, [layer[0] for layer in layers])
    progressive = bool(image.info.get("progressive"))
    kinds: dict[str, Kind] = {"L": "grey", "RGB": "rgb", "CMYK": "cmyk"}
    kind = kinds[image.mode]
    values = _load(image)

    orientation = metadata.orientation
    subsampling = _SUBSAMPLINGS.get(tuple(factors for _, factors, _ in layers), 0)
    if orientation >= 5:
        # The rotated picture has rotated frequencies, and with them its tables keep their meaning.
        tables = [tuple(np.reshape(t, (8, 8)).T.ravel().tolist()) for t in tables]
        # Half the colour columns would have to become half the colour rows, which cannot be
        # written; all of them loses nothing.
        subsampling = 0 if subsampling == 1 else subsampling
    if kind == "cmyk" and adobe_transform(segments) == 2:
        # Stored as brightness, colour and black; it can only be written as CMYK, to which the
        # coarse colour tables must not be applied.
        tables = tables[:1]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return Picture.from_samples(
        Samples(kind, values).oriented(orientation),
        format="JPEG",
        metadata=metadata.upright(),
        settings=JpegSettings(
            tables=tuple(tables),
            subsampling=subsampling,
            progressive=progressive,
            stores_rgb=is_rgb,
            segments=carried_segments(segments, orientation),
            orientation=orientation,
        ),
        original_bytes=data,
    )


def encode(picture: Picture) -> bytes:
    """Write a picture as JPEG.

    Raises:
        OutputError: It has more pixels on a side than JPEG can say.
    """
    samples = convert(picture.samples, kinds=("grey", "rgb", "cmyk"), format="JPEG")
    if max(samples.size) > _MAX_SIDE:
        raise OutputError(
            f"the picture is {samples.size[0]} x {samples.size[1]}, JPEG ends at {_MAX_SIDE} pixels"
            " a side: choose PNG or TIFF"
        )
    settings = picture.settings
    if not isinstance(settings, JpegSettings):
        settings = JpegSettings(segments=segments_from(picture.metadata, samples.kind))
    if picture.format == "JPEG" and picture.original_bytes is not None:
        return with_following(
            _changed(picture, settings, picture.original_bytes), picture.original_bytes
        )
    image = pil_image(replace(samples, bit_depth=8))
    return _join(settings.segments or (), _compress(image, settings), samples.size)


def _check_process(segments: Sequence[Segment]) -> None:
    """Refuse what is no damage, though libjpeg does not read it."""
    for segment in segments:
        if segment.is_frame and segment.marker not in _PROCESSES:
            raise Unreadable(
                "is a lossless JPEG, which is not supported: convert it to PNG or TIFF first"
            )
        if segment.is_frame and segment.payload[0] != 8:
            raise Unreadable(
                f"is a JPEG of {segment.payload[0]} bits per sample, which is not supported:"
                " save it with 8 bits, or as PNG or TIFF, first"
            )


def _changed(picture: Picture, settings: JpegSettings, original: bytes) -> bytes:
    """A changed picture alone, as near to its original as can be."""
    with contextlib.suppress(Unkept):
        return _with_blocks_kept(picture, settings, original)
    image = _stored_image(picture, settings, original)
    return _join(settings.segments or (), _compress(image, settings), picture.size)


def _with_blocks_kept(picture: Picture, settings: JpegSettings, original: bytes) -> bytes:
    """Write a changed file with the very coefficients of the original in all unchanged blocks.

    Raises:
        Unkept: The coefficients of such a file cannot be had.
    """
    scan = turn_blocks(read_scan(original), settings.orientation)
    before = decode(original, math.prod(picture.size), lambda *_: None).samples.values
    change = np.subtract(picture.samples.values, before, dtype=np.int16)
    change = change.reshape(*before.shape[:2], -1)  # grey has no axis for channels
    segments, _ = split(original)
    if len(scan.components) == 4:
        is_ycc = adobe_transform(segments) == 2
    else:
        is_ycc = not stores_rgb(segments, list(scan.header.payload[6::3]))
    weights = component_weights(len(scan.components), is_ycc=is_ycc)
    scan = change_blocks(scan, change, weights)
    carried = [*(settings.segments or ()), *filter(is_adobe, segments)]
    return b"\xff\xd8" + b"".join(map(bytes, carried)) + write_scan(scan)


def _compress(image: Image.Image, settings: JpegSettings) -> bytes:
    options: dict[str, object] = {"subsampling": settings.subsampling}
    if settings.tables is None:
        options["quality"] = 95
    else:
        options["qtables"] = [list(table) for table in settings.tables]
    if settings.stores_rgb and image.mode == "RGB":
        options["keep_rgb"] = True
    out = io.BytesIO()
    try:
        image.save(out, "JPEG", progressive=settings.progressive, optimize=True, **options)
    except OSError:
        # Pillow guesses how large an optimised file can become; very noisy ones outgrow it.
        out = io.BytesIO()
        image.save(out, "JPEG", **options)
    return out.getvalue()


def _open(
    segments: Sequence[Segment], scan: bytes, size: tuple[int, int] | None = None
) -> JpegImagePlugin.JpegImageFile:
    # Only what decides the pixels is shown to Pillow: damaged metadata then cannot stop it. The
    # plugin is called directly because Image.open would apply a limit of its own that can only
    # be set for the whole process.
    needed = [
        segment if size is None else _resized(segment, size)
        for segment in segments
        if not 0xE1 <= segment.marker <= 0xED and segment.marker not in (0xEF, COM)
    ]
    lean = b"\xff\xd8" + b"".join(map(bytes, needed)) + scan
    return JpegImagePlugin.JpegImageFile(io.BytesIO(lean))


def _lacks_only_its_end(data: bytes, scan: int) -> bool:
    """Whether the picture is there to its last block, but not the marker that some cameras omit."""
    if data[: picture_end(data, scan)].endswith(_END):
        return False
    try:
        read_scan(data + _END)
    except Unkept:
        return False
    return True


def _load(image: JpegImagePlugin.JpegImageFile) -> np.ndarray:
    try:
        image.load()
    except OSError as error:
        if "truncated" in str(error):
            raise Unreadable("ends before the picture is complete: copy it again") from error
        raise
    return np.array(image)


# --- encoding again: untouched pixels from the stored samples -----------------------------------


def _stored_image(picture: Picture, settings: JpegSettings, original: bytes) -> Image.Image:
    """The picture in the components a JPEG stores, untouched pixels as the original stores them.

    Returns:
        An image as large as the picture, or larger by what its last blocks hold beyond its right
        and lower border.
    """
    width, height = picture.size
    image, planes = _stored_planes(original, settings.orientation)
    if settings.orientation not in (1, 5):  # turned otherwise, the beyond would come to lie before
        planes = planes[:height, :width] if settings.orientation < 5 else planes[:width, :height]
    planes = orient(planes, settings.orientation)
    # No further than the last blocks of the file to be written, whose colour may be less coarse.
    coarse = image.mode == "YCbCr" and not settings.progressive
    across = 2 if coarse and settings.subsampling in (1, 2) else 1
    down = 2 if coarse and settings.subsampling == 2 else 1
    planes = planes[: _up_to(height, 8 * down), : _up_to(width, 8 * across)]
    if picture.touched is not None:
        restored = picture.samples.values
        if image.mode == "YCbCr":
            restored = np.asarray(Image.fromarray(picture.rgb).convert("YCbCr"))
        # A touched border pixel also decides what lies beyond it.
        beyond = ((0, planes.shape[0] - height), (0, planes.shape[1] - width))
        touched = np.pad(picture.touched, beyond, mode="edge")
        planes = planes.copy()
        planes[touched] = np.pad(restored, (*beyond, (0, 0))[: planes.ndim], mode="edge")[touched]
    return Image.frombytes(image.mode, planes.shape[1::-1], planes.tobytes())


def _stored_planes(
    data: bytes, orientation: int
) -> tuple[JpegImagePlugin.JpegImageFile, np.ndarray]:
    """The samples of a file; coarse colour samples repeated, not smoothed.

    Args:
        data: The JPEG file.
        orientation: How it is going to be turned.

    Returns:
        The image, for its mode: YCbCr unless it is grey, CMYK or stored RGB. And its samples, (H,
        W) or (H, W, C) uint8, not yet turned, with the whole of the last blocks. Repeating is what
        the encoder's averaging undoes.
    """
    segments, scan = split(data)
    image = _open(segments, data[scan:])
    factors = tuple((layer[1], layer[2]) for layer in image.layer)
    # In scans of one component, which progressive files have, the number of blocks follows from
    # the size in units of 8; in scans of all components in units of the coarsest one.
    together = data[scan + 4] == len(factors) > 1 and not image.info.get("progressive")
    across, down = (max(f[i] for f in factors) if together else 1 for i in (0, 1))
    width, height = (
        min(_up_to(side, unit), 65535)
        for side, unit in zip(image.size, (8 * across, 8 * down), strict=True)
    )

    mode = None if stores_rgb(segments, [layer[0] for layer in image.layer]) else "YCbCr"

    def load(scale: int = 1) -> tuple[JpegImagePlugin.JpegImageFile, np.ndarray]:
        image = _open(segments, data[scan:], size=(width, height))
        image.draft(mode, (width // scale, height // scale))
        return image, _load(image)

    image, planes = load()
    subsampling = _SUBSAMPLINGS.get(factors)
    if image.mode == "YCbCr" and subsampling == 2:
        # Decoded at half size, libjpeg needs no smoothing: it gives colour samples as they are.
        colours = load(scale=2)[1][..., 1:]
        planes[..., 1:] = colours.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    elif image.mode == "YCbCr" and subsampling == 1 and orientation < 5:
        planes[..., 1:] = _unsmooth_columns(planes[..., 1:])
    return image, planes


def _up_to(length: int, unit: int) -> int:
    return -(-length // unit) * unit


def _unsmooth_columns(smooth: np.ndarray) -> np.ndarray:
    """Undo libjpeg's smoothing of colour samples stored for every second column.

    With c the stored samples, the decoder makes columns (3 c[i] + c[i-1] + 1) // 4 and
    (3 c[i] + c[i+1] + 2) // 4. Going from left to right each sample is known up to rounding, and a
    wrong guess dies out with a third of it per step.

    Args:
        smooth: (H, W, 2) uint8 decoded colour.

    Returns:
        (H, W, 2) uint8, every stored sample twice.
    """
    width = smooth.shape[1]
    columns = smooth.astype(np.int32)
    stored = [columns[:, 0]]
    for i in range(1, (width + 1) // 2):
        before, left, here = stored[-1], columns[:, 2 * i - 1], columns[:, 2 * i]
        low = np.maximum(-((before + 1 - 4 * here) // 3), 4 * left - 2 - 3 * before)
        high = np.minimum((4 * here + 2 - before) // 3, 4 * left + 1 - 3 * before)
        # Both bounds cross only after a wrong guess; the tighter rule is the one for `here`.
        guess = np.where(low <= high, (low + high) // 2, (4 * here + 1 - before) // 3)
        stored.append(np.clip(guess, 0, 255))
    return np.stack(stored, axis=1).astype(np.uint8).repeat(2, axis=1)[:, :width]


def _join(carried: Sequence[Segment], encoded: bytes, size: tuple[int, int]) -> bytes:
    """Put carried segments in front of what the encoder wrote, in place of its own JFIF header.

    Args:
        carried: The segments.
        encoded: A JPEG file, perhaps larger than the picture.
        size: The picture's width and height, to be stated instead: what lies beyond is not shown.
    """
    written, scan = split(encoded)
    own = [_resized(segment, size) for segment in written if segment.marker != APP0]
    return b"\xff\xd8" + b"".join(map(bytes, [*carried, *own])) + encoded[scan:]


def _resized(segment: Segment, size: tuple[int, int]) -> Segment:
    """The frame header with another width and height; other segments as they are."""
    if not segment.is_frame or len(segment.payload) < 5:
        return segment
    stated = struct.pack(">HH", size[1], size[0])
    return Segment(segment.marker, segment.payload[:1] + stated + segment.payload[5:])

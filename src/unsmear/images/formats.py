"""Which files we know: suffixes, and what a file is by its first bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from types import MappingProxyType

from unsmear.errors import OutputError

SUPPORTED_SUFFIXES = MappingProxyType(
    {
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".jpe": "JPEG",
        ".jfif": "JPEG",
        ".png": "PNG",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".webp": "WEBP",
        ".bmp": "BMP",
    }
)
"""File name suffix, lower case with its dot, to format name."""

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")

# Raw files of most cameras are TIFF inside, so only their names tell them apart for sure.
_RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc"}
    | {".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"}
    | {".sr2", ".srf", ".srw", ".x3f"}
)

_HEIF_BRANDS = frozenset(
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avci"]
)

_FOREIGN = (
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"FOVb", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIU\x00", "a camera raw file"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"P1\n", "a PBM picture"),
    (b"P4\n", "a PBM picture"),
    (b"P5\n", "a PGM picture"),
    (b"P6\n", "a PPM picture"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"qoif", "a QOI picture"),
    (b"II\xbc", "a JPEG XR picture"),
)

_FILMS = (  # in containers, and where their names stand
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"FLV\x01"),
    (0, bytes.fromhex("3026b2758e66cf11")),  # WMV
    (0, b"OggS"),
    (0, b"\0\0\x01\xba"),  # MPEG
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
)
_BARE_FILMS = (
    b"\0\0\0\x01",  # H.264, HEVC
    b"\0\0\x01\xb3",  # MPEG
    b"YUV4MPEG2",
    b"\x1f\x07\0",  # DV
    b"DHAV",  # recorders of cameras that watch
)
_TRANSPORT = ((0, 188), (4, 192))  # where MPEG-TS and M2TS have their first mark, and how often


Tell = Callable[[str, str], None]
"""Takes what a file has and what alone of it is read, such as "several pages", "the first one"."""


class Unreadable(Exception):  # noqa: N818 - it never leaves this package
    """What is wrong with a file, said as the rest of a sentence that begins with its name."""


def sniff(head: bytes, suffix: str = "") -> str:
    """Tell the format of a file from its content.

    Args:
        head: The file's first bytes; 512 are enough.
        suffix: The file name's suffix. It never decides what a file is, it only helps to refuse
            camera raw files, which look like TIFF.

    Returns:
        One of `FORMATS`.

    Raises:
        Unreadable: The file is none of them.
    """
    if not head:
        raise Unreadable("is empty: copy it again from where it came")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        if suffix.lower() in _RAW_SUFFIXES or head[8:10] == b"CR":
            raise _foreign("a camera raw file")
        return "TIFF"
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADER_SIZES:
        return "BMP"
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise _foreign(what)
    if head[4:8] == b"ftyp" and (what := _picture_of_brand(head[8:12])) is not None:
        raise _foreign(what)
    _refuse_films(head)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--")) and b"<svg" in text):
        raise _foreign("an SVG drawing")
    raise Unreadable("is not a picture that unsmear reads: give it a JPEG, PNG, TIFF, WebP or BMP")


_BMP_HEADER_SIZES = frozenset(
    size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)
)


def _picture_of_brand(brand: bytes) -> str | None:
    if brand in _HEIF_BRANDS:
        return "a HEIC picture"
    if brand in (b"avif", b"avis"):
        return "an AVIF picture"
    return "a camera raw file" if brand == b"crx " else None


def _refuse_films(head: bytes) -> None:
    packets = any(
        head[first : first + 1] == head[first + step : first + step + 1] == b"\x47"
        for first, step in _TRANSPORT
    )
    if packets or any(head[at:].startswith(magic) for at, magic in _FILMS):
        raise Unreadable(
            "is a film and no picture: give it an ending that says so, such as .mp4, and the"
            " unsmear command takes it for a clip"
        )
    if head.startswith(_BARE_FILMS):
        raise Unreadable(
            "is a film without a common container: put it into an MP4 or MKV file first"
        )


def _foreign(what: str) -> Unreadable:
    return Unreadable(f"is {what}, which is not supported: convert it to PNG, JPEG or TIFF first")


def too_large(size: tuple[int, int], max_pixels: int) -> Unreadable:
    """The refusal of a picture beyond the limit, in the same words for every format."""
    return Unreadable(
        f"is {size[0]} x {size[1]} pixels, more than the limit of {max_pixels:,}:"
        " make it smaller first, or raise the limit"
    )


def format_named(name: str) -> str:
    """Turn what a caller calls a format into our word for it.

    Args:
        name: A format name or a suffix in any case, such as "JPEG", "jpg" or ".TIF".

    Returns:
        One of `FORMATS`.

    Raises:
        OutputError: There is no such format.
    """
    if name.upper() in FORMATS:
        return name.upper()
    known = SUPPORTED_SUFFIXES.get("." + name.lower().removeprefix("."))
    if known is None:
        raise OutputError(f"'{name}' is not a format unsmear writes: choose {_one_of_suffixes()}")
    return known


def format_of_path(path: PurePath) -> str:
    """Tell the format to write from a file name.

    Raises:
        OutputError: The name has no suffix, or one we do not write.
    """
    known = SUPPORTED_SUFFIXES.get(path.suffix.lower())
    if known is None:
        got = f"ends in '{path.suffix}'" if path.suffix else "has no suffix"
        raise OutputError(f"{path} {got}, so its format is not known: use {_one_of_suffixes()}")
    return known


def _one_of_suffixes() -> str:
    *most, last = SUPPORTED_SUFFIXES
    return f"{', '.join(most)} or {last}"

"""From a file to a picture, or to one sentence that says why not."""

from __future__ import annotations

import io
import warnings
from pathlib import Path, PurePath
from typing import BinaryIO

from unsmear.errors import InputError
from unsmear.images import bmp, jpeg, png, tiff, webp
from unsmear.images.formats import Unreadable, sniff
from unsmear.images.picture import Picture

_DECODERS = {
    "JPEG": jpeg.decode,
    "PNG": png.decode,
    "TIFF": tiff.decode,
    "WEBP": webp.decode,
    "BMP": bmp.decode,
}

# No honest file is larger than its pixels at 16 bits and four channels, with room for metadata.
_BYTES_PER_PIXEL = 8
_METADATA_ROOM = 256 << 20
_HEAD = 512  # bytes by which a format is told
_PIECE = 4 << 20  # bytes read at a time


def read_picture(
    source: Path | bytes | BinaryIO, *, max_pixels: int = 200_000_000, whole: bool = False
) -> Picture:
    """Read a JPEG, PNG, TIFF, WebP or BMP picture.

    What the file is, its content decides and not its name. Of a file with several pages or frames
    the first is used, and of one with layers what they make together, with a warning.

    Args:
        source: A path, the bytes of a file, or an open binary file.
        max_pixels: Width times height above which a picture is refused before it is decoded.
        whole: Refuse a file of which only the first page, frame or picture can be kept, or no
            layers, since it is going to be replaced.

    Returns:
        The picture, turned upright.

    Raises:
        InputError: The file cannot be read, is damaged, too large, or of a kind we do not read.
    """
    name, suffix = _name_of(source)
    limit = max_pixels * _BYTES_PER_PIXEL + _METADATA_ROOM
    data = _bytes_of(source, name, limit)
    format = None
    parts: list[tuple[str, str]] = []
    try:
        format = sniff(data[:_HEAD], suffix)
        picture = _DECODERS[format](data, max_pixels, lambda *told: parts.append(told))
    except Unreadable as problem:
        raise InputError(f"{name} {problem}") from problem
    except MemoryError as error:
        raise InputError(
            f"{name} does not fit into memory: make the picture smaller first"
        ) from error
    except Exception as error:
        # Decoders of untrusted bytes fail in more ways than can be listed; all mean the same.
        raise InputError(
            f"{name} is a damaged {format} file: open it in a picture editor and save it again"
        ) from error
    for what, part in parts:
        if whole:
            raise InputError(
                f"{name} has {what}, and only {part} would be left: write the result to another"
                " file"
            )
        warnings.warn(f"{name} has {what}: only {part} is used", stacklevel=2)
    return picture


def format_of_file(path: Path) -> str | None:
    """Tell what a file is by its first bytes, whatever its name says.

    Returns:
        A format, such as "PNG"; None where no picture that we read can be seen there. Pipes are not
        looked at, for what is read from them is gone.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return sniff(file.read(_HEAD), path.suffix)
    except (OSError, Unreadable):
        return None


def _name_of(source: Path | bytes | BinaryIO) -> tuple[str, str]:
    """What to call the source in a message, and its suffix."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "the data", ""
    name = source if isinstance(source, str | PurePath) else getattr(source, "name", None)
    if not isinstance(name, str | PurePath):
        return "the data", ""
    return str(name), PurePath(name).suffix


def _bytes_of(source: Path | bytes | BinaryIO, name: str, limit: int) -> bytes:
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
        elif isinstance(source, str | PurePath):
            with Path(source).open("rb") as file:
                data = _read(file, limit)
        else:
            data = _read(source, limit)
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist: check the name") from error
    except IsADirectoryError as error:
        raise InputError(f"{name} is a folder: name the pictures in it") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read: change its permissions") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in a path, a closed file
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{name} cannot be read ({reason}): check the file and its disk"
        ) from error
    if len(data) > limit:
        raise InputError(
            f"{name} is larger than {limit >> 20} MiB, which no picture within the pixel limit is:"
            " make it smaller first, or raise the limit"
        )
    return data


def _read(file: BinaryIO | io.BufferedReader, limit: int) -> bytes:
    """A file's bytes, or the first of them beyond the limit."""
    data = io.BytesIO()
    # Python makes room for all that is asked for, so not as much as a limit may allow.
    while data.tell() <= limit and (piece := file.read(_PIECE)):
        if not isinstance(piece, bytes):
            raise ValueError("it is not open in binary mode")
        data.write(piece)
    return data.getvalue()

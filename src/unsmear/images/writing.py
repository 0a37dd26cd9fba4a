"""From a picture to a file that is either complete or not there."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import warnings
from pathlib import Path

from unsmear.errors import OutputError
from unsmear.images import bmp, jpeg, png, tiff, webp
from unsmear.images.formats import format_named, format_of_path
from unsmear.images.picture import Picture

_ENCODERS = {
    "JPEG": jpeg.encode,
    "PNG": png.encode,
    "TIFF": tiff.encode,
    "WEBP": webp.encode,
    "BMP": bmp.encode,
}
_HELD = {  # of what a photo may carry beside its pixels
    "JPEG": ("icc", "exif", "xmp", "iptc"),
    "PNG": ("icc", "exif", "xmp"),
    "TIFF": ("icc", "exif", "xmp", "iptc"),
    "WEBP": ("icc", "exif", "xmp"),
    "BMP": (),
}


def encode_picture(picture: Picture, format: str) -> bytes:
    """Write a picture into memory.

    Args:
        picture: Any picture. Unchanged and asked for in its own format, it is the very bytes it
            was read from.
        format: A format name or suffix, such as "PNG" or ".jpg".

    Returns:
        The file's bytes.

    Raises:
        OutputError: The format is unknown, or cannot hold so large a picture.
    """
    wanted = format_named(format)
    if wanted == picture.format and not picture.is_changed and picture.original_bytes is not None:
        return picture.original_bytes
    held = set(_HELD[wanted])
    if wanted == "WEBP" and picture.kind == "grey" and picture.metadata.icc_for("rgb") is None:
        held.remove("icc")  # WebP has no grey for the profile to speak of
    if wanted != picture.format and (lost := picture.metadata.lost_in(held)):
        name = "WebP" if wanted == "WEBP" else wanted
        warnings.warn(f"{name} is written without the photo's {lost}", stacklevel=2)
    try:
        return _ENCODERS[wanted](picture)
    except MemoryError as error:
        raise OutputError(
            f"writing {wanted} does not fit into memory: make the picture smaller first"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:  # what encoders raise
        raise OutputError(
            f"the picture cannot be written as {wanted} ({error}): choose another format"
        ) from error


def write_picture(
    picture: Picture,
    destination: Path,
    *,
    overwrite: bool = False,
    input_path: Path | None = None,
    in_place: bool = False,
) -> None:
    """Write a picture to a file; its suffix decides the format, in place the picture does.

    The file is written beside its place and moved there when it is complete. A symbolic link is
    followed: the file it names is written.

    Args:
        picture: What to write.
        destination: Where to.
        overwrite: Whether a file that is already there may be replaced.
        input_path: The file the picture came from, which is not to be lost by mistake.
        in_place: Whether the destination may be that file. It then keeps its owner, permissions and
            extended attributes, and its format even where its suffix says another one.

    Raises:
        OutputError: The destination cannot, or must not, be written.
    """
    destination = Path(destination)
    format = format_of_path(destination)
    target, is_input = _check(destination, overwrite, input_path, in_place)
    if is_input and picture.format is not None:
        format = picture.format
    data = encode_picture(picture, format)
    try:
        _replace(target, data, keep=is_input)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{destination} cannot be written ({reason}): check the folder's permissions and the"
            " space left on its disk"
        ) from error


def _check(
    destination: Path, overwrite: bool, input_path: Path | None, in_place: bool
) -> tuple[Path, bool]:
    """Make sure the destination may be written.

    Returns:
        The file that will be written, links resolved, and whether it is the input.
    """
    try:
        # os.path.realpath, unlike Path.resolve, does not raise where links run in circles.
        target = Path(os.path.realpath(destination))
        if target.is_symlink():
            raise OutputError(f"{destination} is a link that leads in a circle: remove it first")
        if not target.parent.is_dir():
            raise OutputError(f"the folder {destination.parent} does not exist: make it first")
        status = target.stat() if target.exists() else None
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise OutputError(f"{destination} is a folder: give the name of a file")
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise OutputError(f"{destination} is not an ordinary file: give another name")
        is_input = status is not None and input_path is not None and _is_same(input_path, status)
        if is_input and not in_place:
            raise OutputError(
                f"{destination} is the input itself: give another name, or allow in-place"
            )
        if status is not None and not is_input and not overwrite:
            raise OutputError(f"{destination} already exists: allow overwriting, or another name")
        # Moving a file over it would ask only for the folder's permission.
        if status is not None and not os.access(target, os.W_OK):
            raise OutputError(
                f"{destination} is write-protected: make it writable, or give another name"
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{destination} cannot be written ({reason}): check the path and its permissions"
        ) from error
    return target, is_input


def _is_same(input_path: Path, status: os.stat_result) -> bool:
    # Device and inode see through links, hard links and every spelling of a path.
    try:
        return os.path.samestat(Path(input_path).stat(), status)
    except OSError:
        return False


def _replace(target: Path, data: bytes, *, keep: bool) -> None:
    temporary = target.with_name(f".unsmear-{secrets.token_hex(8)}.tmp")
    # Opened with 0o666, the kernel takes the umask off: the mode of any new file. One that gets
    # another's permissions may be as private as that.
    mode = 0o600 if keep else 0o666
    handle = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            _make_like(target, temporary)
        temporary.replace(target)
    except BaseException:  # also on Ctrl-C nothing half-written stays behind
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _make_like(target: Path, temporary: Path) -> None:
    """Give a file the owner, permissions and extended attributes of the one it is to replace."""
    status = target.stat()
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):  # only root gives files away
            os.chown(temporary, status.st_uid, status.st_gid)
    shutil.copystat(target, temporary)
    os.utime(temporary)  # it is written now

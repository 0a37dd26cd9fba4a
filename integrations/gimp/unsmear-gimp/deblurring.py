"""The half of the plug-in that knows nothing of GIMP: files, and the command that it calls.

It runs in GIMP's own Python, and so imports nothing beyond the standard library.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import NamedTuple


class DeblurringError(Exception):
    """What went wrong, in one sentence for the user."""


class Wishes(NamedTuple):
    """What the user chose.

    Attributes:
        command: name or path of the ``unsmear`` command.
        model: a name that ``unsmear models`` lists, or a checkpoint's path.
        threshold: how sure the network must be of blur; in [0, 1].
        strength: share of the change that is applied; in [0, 1].
    """

    command: str = "unsmear"
    model: str = "lmdvit-tiny"
    threshold: float = 0.5
    strength: float = 1.0


def deblur(photo: Path, result: Path, wishes: Wishes, mask: Path | None = None) -> float:
    """Deblur a picture file; gives the share of its pixels that changed.

    Args:
        photo: what to deblur.
        result: where to write it; its folder gets a file of figures, too.
        wishes: what the user chose.
        mask: a picture of the photo's size, white where it is to be deblurred.

    Raises:
        DeblurringError: the command is not there, or could not do it.
    """
    program = shutil.which(wishes.command)
    if program is None:
        raise DeblurringError(
            f"There is no command {wishes.command!r}: install unsmear, or give the command's path."
        )
    figures = result.with_suffix(".json")
    words = [program, *arguments(photo, result, figures, wishes, mask)]
    ended = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=_own_environment(),
        check=False,
    )
    if ended.returncode != 0 or not figures.is_file():
        lines = ended.stderr.strip().splitlines()
        raise DeblurringError(lines[-1] if lines else f"{program} ended with {ended.returncode}.")
    return json.loads(figures.read_text(encoding="utf-8"))["touched_fraction"]


def arguments(
    photo: Path, result: Path, figures: Path, wishes: Wishes, mask: Path | None
) -> list[str]:
    """The words after the command's name."""
    words = [str(photo), "--output", str(result), "--json", str(figures), "--quiet"]
    words += ["--model", wishes.model, "--strength", f"{wishes.strength:g}"]
    # With a mask, the command deblurs there whatever the network finds.
    return words + (
        ["--threshold", f"{wishes.threshold:g}"] if mask is None else ["--mask", str(mask)]
    )


def write_grey_png(path: Path, width: int, height: int, levels: bytes) -> None:
    """Write 8-bit grey levels, row by row from the top, as a PNG."""
    rows = (levels[width * y : width * (y + 1)] for y in range(height))
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))  # 0: a row without a filter
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _own_environment() -> dict[str, str]:
    """The environment without what some builds of GIMP set for their own Python."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}

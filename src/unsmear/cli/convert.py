"""``unsmear convert``: the authors' checkpoint into ours, and back."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from unsmear.cli.console import say, size_in_words
from unsmear.cli.page import page
from unsmear.errors import InputError, OutputError

PAGE = page(
    "SRC DST [--to unsmear|released]",
    {
        "Examples": {
            "unsmear convert lmdvit.pth lmdvit.safetensors": "released weights, ready for --model",
            "unsmear convert own.safetensors own.pth --to released": "for the authors' code",
        }
    },
)


class Form(str, Enum):
    """Whose names and file format."""

    unsmear = "unsmear"
    released = "released"


def command(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Checkpoint to read: .pth or .safetensors.")
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="File to write: .safetensors, or .pth with --to.")
    ],
    to: Annotated[Form, typer.Option(help="Whose form to write.")] = Form.unsmear,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace DST where it is there already.")
    ] = False,
) -> None:
    """Turn a released LMD-ViT checkpoint into this package's form, or back.

    Files are read without running code from them, sizes are inferred from names and shapes.
    """
    allowed = (".safetensors",) if to is Form.unsmear else (".safetensors", ".pth")
    if destination.suffix not in allowed:
        raise OutputError(f"{destination} must end in {' or '.join(allowed)} for --to {to.value}.")
    if not source.is_file():
        raise InputError(f"{source} is no file: give the checkpoint's path.")
    if destination.is_dir():
        raise OutputError(f"{destination} is a folder: give a file's name.")
    if destination.exists() and destination.samefile(source):
        raise OutputError(f"{destination} is the source itself: give another name.")
    if destination.exists() and not overwrite:
        raise OutputError(f"{destination} already exists: use --overwrite, or another name.")

    from unsmear.models import convert_checkpoint

    written = convert_checkpoint(source, destination, to=to.value)
    say(f"{written}  {size_in_words(written.stat().st_size)}")

"""``unsmear convert``: checkpoints of the papers' authors into ours, and back."""

from __future__ import annotations

from enum import StrEnum
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
            "unsmear convert DMPHN_1_2_4_8/ dmphn.safetensors": "eight .pkl files of a DMPHN",
        }
    },
)


class Form(StrEnum):
    """Whose names and file format."""

    unsmear = "unsmear"
    released = "released"


def command(
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="A .pth, .safetensors, or DMPHN's folder."),
    ],
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="DST", help="File to write: .safetensors; with --to also .pth, or a folder."
        ),
    ],
    to: Annotated[Form, typer.Option(help="Whose form to write.")] = Form.unsmear,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace DST where it is there already.")
    ] = False,
) -> None:
    """Turn a released LMD-ViT or DMPHN checkpoint into this package's form, or back.

    Files are read without running code from them, sizes are inferred from names and shapes.
    DMPHN's released form is a folder of eight files.
    """
    if to is Form.unsmear and destination.suffix != ".safetensors":
        raise OutputError(f"{destination} must end in .safetensors for --to unsmear.")
    if not source.exists():
        raise InputError(f"{source} is not there: give the checkpoint's path.")
    if destination.is_dir() and destination.suffix:
        raise OutputError(f"{destination} is a folder: give a file's name.")
    if destination.exists() and destination.samefile(source):
        raise OutputError(f"{destination} is the source itself: give another name.")
    if destination.exists() and not overwrite:
        raise OutputError(f"{destination} already exists: use --overwrite, or another name.")

    from unsmear.models import convert_checkpoint

    written = convert_checkpoint(source, destination, to=to.value)
    files = written.iterdir() if written.is_dir() else [written]
    say(f"{written}  {size_in_words(sum(file.stat().st_size for file in files))}")

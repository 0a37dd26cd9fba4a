"""Options of the command, each declared once."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unsmear.cli.console import package_version, say
from unsmear.errors import InputError

MODEL_NAMES = (
    "lmdvit",
    "lmdvit-small",
    "lmdvit-tiny",
    "saphn",
    "saphn-uniform",
    "saphn-uniform-light",
    "dmphn",
    "dmphn-nu",
    "srn",
    "srn-nu",
    "lbag",
)
DEFAULT_MODEL = "lmdvit-tiny"
BUNDLED_MODELS = (DEFAULT_MODEL, "lmdvit-small")  # whose weights come with the package

WHERE = "Where and how strongly"
RESULTS = "Results"
FILES = "Files and folders"
MANY = "Very many photos"
COMPUTING = "Computing"


class NumberType(StrEnum):
    """Number types of a network."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def _show_version(wanted: bool) -> None:
    if wanted:
        say(package_version())
        raise typer.Exit


Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO...",
        help="Pictures or folders of them: JPEG, PNG, TIFF, WebP, BMP. '-' reads stdin.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Result file, its ending decides the format; a folder for several photos; "
        "'-' is stdout. [dim]Default: PHOTO.unsmeared.EXT beside the photo.[/]",
        rich_help_panel=RESULTS,
        show_default=False,
    ),
]
BlurMap = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write where the network found motion blur, as a grey picture (white: surely); "
        "a folder for several photos.",
        rich_help_panel=RESULTS,
        show_default=False,
    ),
]
Json = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the figures: fractions, kept windows, multiply-adds, seconds. "
        "'-' is stdout; several photos give a list.",
        rich_help_panel=RESULTS,
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="A name that 'unsmear models' lists, or a checkpoint file.",
        rich_help_panel=COMPUTING,
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A picture of the photo's size: deblur where it is white, and only there.",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="X,Y,W,H",
        help="Deblur only in this rectangle of pixels. Repeat for more; joins --mask.",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="0..1",
        help="How sure the network must be of blur; lower touches more. [dim]Default: 0.5.[/]",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        metavar="0..1",
        help="Blend between the photo (0) and its deblurred form (1).",
        rich_help_panel=WHERE,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Of models that sample pixels, such as saphn: work on so many more or fewer of them, "
        "-50% to +100%.",
        rich_help_panel=COMPUTING,
        show_default=False,
    ),
]
Dense = Annotated[
    bool,
    typer.Option(
        "--dense",
        help="Prune nothing: compute every window, and let every pixel change.",
        rich_help_panel=WHERE,
    ),
]
Whole = Annotated[
    bool,
    typer.Option(
        "--whole",
        help="Give the network's raw output, still parts included.",
        rich_help_panel=WHERE,
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive",
        "-r",
        help="Take folders with all that is below them.",
        rich_help_panel=FILES,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace results that are already there; in folders, do all again.",
        rich_help_panel=FILES,
    ),
]
InPlace = Annotated[
    bool,
    typer.Option(
        "--in-place",
        help="Replace the photos themselves; each keeps the format that it has.",
        rich_help_panel=FILES,
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Refuse larger pictures before they are decoded.",
        rich_help_panel=FILES,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto, cpu, cuda (or cuda:1), mps.",
        rich_help_panel=COMPUTING,
    ),
]
Dtype = Annotated[
    NumberType,
    typer.Option(
        metavar="TYPE",
        help="auto, float32, bfloat16, float16.",
        rich_help_panel=COMPUTING,
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        metavar="SIDE",
        help="Work in overlapping tiles of so many pixels a side. "
        "[dim]Default: whole, or tiles where memory is short.[/]",
        rich_help_panel=COMPUTING,
        show_default=False,
    ),
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep a record of each photo, with hashes of contents and settings, as lines of JSON: "
        "run again, it skips what is done and does again what failed or changed.",
        rich_help_panel=MANY,
        show_default=False,
    ),
]
Failures = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write a table of what failed in this run: photo, tab, problem.",
        rich_help_panel=MANY,
        show_default=False,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Share the work out over a Ray cluster: its head's HOST:PORT, auto, or local for this "
        "machine alone. Needs the extra: pip install 'unsmear\\[ray]'.",
        rich_help_panel=MANY,
        show_default=False,
    ),
]
RayCpus = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="With --ray, CPU cores for each network where there are no GPUs.",
        rich_help_panel=MANY,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing but problems."),
]
Version = Annotated[
    bool,
    typer.Option(
        "--version",
        help="Show the version and exit.",
        callback=_show_version,
        is_eager=True,
    ),
]
JsonSwitch = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def parse_budget(text: str) -> float:
    """Read "-10%", "+20%" or "0.2" as a share.

    Raises:
        InputError: It is no such thing, or outside -50% to +100%.
    """
    number = text.strip().removesuffix("%")
    try:
        budget = float(number) / (1 if number == text.strip() else 100)
    except ValueError:
        budget = math.nan
    if not -0.5 <= budget <= 1:
        raise InputError(f"--budget lies between -50% and +100%, such as -10%; got {text!r}.")
    return budget


def parse_box(text: str) -> tuple[int, int, int, int]:
    """Read "X,Y,W,H" in pixels.

    Raises:
        InputError: It is no such thing, or W or H is 0.
    """
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if match is None or int(match[3]) < 1 or int(match[4]) < 1:
        raise InputError(
            f"--box wants X,Y,W,H in whole pixels, W and H from 1, such as 40,20,300,200; "
            f"got {text!r}."
        )
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


def check_model(model: str) -> None:
    """Refuse a name that stands for no network, before torch is loaded.

    Raises:
        InputError: There is no such name or checkpoint.
    """
    is_known = model in MODEL_NAMES or model.startswith("hf://")
    if not is_known and not Path(model).exists():
        known = ", ".join(MODEL_NAMES)
        raise InputError(
            f"There is no model or checkpoint {model!r}: the named ones are {known}; "
            "'unsmear models' tells more."
        )


def check_device(device: str) -> None:
    """Refuse a device that torch does not know, before torch is loaded.

    Raises:
        InputError: It is none of them.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise InputError(f"There is no device {device!r}: choose auto, cpu, cuda, cuda:1 or mps.")

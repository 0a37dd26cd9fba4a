"""``unsmear eval``: how good networks are on a data set, and what they cost."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from unsmear.cli import options
from unsmear.cli.console import say
from unsmear.cli.extras import needing
from unsmear.cli.files import write_text
from unsmear.cli.page import page
from unsmear.errors import InputError, OutputError

if TYPE_CHECKING:
    from unsmear.evaluation import Evaluation

STREAM = "-"
DATA = "Pictures"
ABLATION = "Settings"
WIDE = 200
NOTES = (
    "RGB, outputs rounded to 8 bits, means of the pictures' figures; wPSNR and wSSIM inside the "
    "blur mask, empty masks left out; static change: mean absolute, outside the mask, of 1; time: "
    "median, synchronised, after a first run. --json and --report tell all conventions."
)

PAGE = page(
    "--data PATH [--model MODEL]... [OPTIONS]",
    {
        "Examples": {
            "unsmear eval --data ReLoBlur --model lmdvit.safetensors": "the paper's table",
            "unsmear eval --data mine --report mine.html": "NAME_blur, NAME_sharp, NAME_mask .png",
            "unsmear eval --data synthetic:data/train --json -": "the project's held-out samples",
            "unsmear eval --data mine --model lmdvit.safetensors --sweep threshold=0.2:0.7:0.1 "
            "--sweep pruned-stages=1-9,2-8,3-7,4-6,none": "the paper's ablations",
            "unsmear eval --data mine --restorer NAFNet.pth": "a rival in the same run",
        }
    },
)

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A name that 'unsmear models' lists, or a checkpoint file. Repeat for more. "
        f"[dim]Default: {options.DEFAULT_MODEL}, unless there are rivals.[/]",
        show_default=False,
    ),
]
Rivals = Annotated[
    list[str] | None,
    typer.Option(
        "--restorer",
        metavar="FILE",
        help="A rival's checkpoint, of any network that spandrel loads (the rivals extra). Repeat "
        "for more.",
        show_default=False,
    ),
]


def command(
    data: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="A data set's folder, or 'synthetic:FOLDER' for samples made of held-out photos.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ],
    model: Models = None,
    restorer: Rivals = None,
    layout: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto, reloblur, gopro, hide, realblur, folder.",
            rich_help_panel=DATA,
        ),
    ] = "auto",
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="test or train; of synthetic samples the YAML file that names what is held out, "
            "or 'tenth' for a tenth of the folder. "
            "[dim]Default: test, or configs/validation_split.yaml.[/]",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Of the layout: masks=FOLDER (reloblur), blur=blur_gamma (gopro), variant=R "
            "(realblur), blurred, sharp and mask=PATTERN (folder), count, size and seed=NUMBER "
            "(synthetic). Repeat for more.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Take only the first N pictures.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            metavar="0..1",
            help="How sure a network must be of blur to keep a window.",
            rich_help_panel=ABLATION,
        ),
    ] = 0.5,
    dense: Annotated[
        bool,
        typer.Option(
            "--dense", help="Prune nothing: compute every window.", rich_help_panel=ABLATION
        ),
    ] = False,
    budget: options.Budget = None,
    composite: Annotated[
        bool,
        typer.Option(
            "--composite",
            help="Measure what a user gets, kept windows put into the photo, instead of the "
            "network's raw output.",
            rich_help_panel=ABLATION,
        ),
    ] = False,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="threshold=0.2:0.7:0.1, pruned-stages=1-9,4-6,none or budget=-0.1,0,0.1: each "
            "model under each. Repeat for several.",
            rich_help_panel=ABLATION,
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write all figures. '-' is stdout, and tables go to stderr.",
            rich_help_panel=options.RESULTS,
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a line for each picture.",
            rich_help_panel=options.RESULTS,
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a page with tables, curve and the worst pictures.",
            rich_help_panel=options.RESULTS,
            show_default=False,
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg",
            help="Draw quality against multiply-adds.",
            rich_help_panel=options.RESULTS,
            show_default=False,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
    dtype: options.Dtype = options.NumberType.auto,
    quiet: options.Quiet = False,
) -> None:
    """Measure networks on pairs of blurred and sharp pictures.

    PSNR and SSIM over the picture and inside the blur mask, how well the kept windows fit the
    blur, what still parts change by, parameters, multiply-adds, time and memory. What each figure
    means stands in the JSON and in the report.
    """
    places = Places(json, csv, report, curve)
    places.check(overwrite=overwrite)

    from unsmear.cli.progress import Bar

    with needing("train", "Evaluation"):
        from unsmear.evaluation import (
            Samples,
            Setting,
            compare,
            open_pairs,
            parse_sweep,
            plan,
            swept,
        )
    from unsmear.runtime import tune_process

    base = Setting(
        threshold=threshold,
        dense=dense,
        budget=None if budget is None else options.parse_budget(budget),
        composite=composite,
    )
    settings = swept(base, map(parse_sweep, sweep or ()))
    samples = Samples(open_pairs(data, layout, split, _named(option or [])), limit)
    models = model or ([] if restorer else [options.DEFAULT_MODEL])
    tune_process()
    openers = plan(models, settings, restorer or (), device=device, dtype=dtype.value)
    with Bar(len(openers) * len(samples), quiet=quiet) as bar:
        evaluation = compare(data, samples, openers, pictures=report is not None, progress=bar)
    if not quiet:
        _show(evaluation, beside=json == STREAM)
    places.fill(evaluation)


def _named(words: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE words as a mapping."""
    if wrong := next((word for word in words if "=" not in word), None):
        raise InputError(f"--option takes NAME=VALUE, got {wrong!r}.")
    pairs = (word.split("=", 1) for word in words)
    return {name.strip(): value for name, value in pairs}


class Places(NamedTuple):
    """Where results go; None where one is not wanted."""

    json: str | None
    csv: Path | None
    report: Path | None
    curve: Path | None

    def check(self, *, overwrite: bool) -> None:
        """Refuse places that cannot be written, before any work.

        Raises:
            OutputError: a file is there already, is named twice, or its folder is not there.
        """
        taken: set[Path] = set()
        for option, place in self._asdict().items():
            if place is None or place == STREAM:
                continue
            path = Path(place)
            if path.is_dir():
                raise OutputError(f"{path} is a folder: --{option} needs a file's name.")
            if not path.parent.is_dir():
                raise OutputError(f"There is no folder {path.parent}: make it first.")
            if path.exists() and not overwrite:
                raise OutputError(
                    f"{path} already exists: use --overwrite, or another name for --{option}."
                )
            if path.absolute() in taken:
                raise OutputError(f"{path} is named twice: give --{option} another name.")
            taken.add(path.absolute())

    def fill(self, evaluation: Evaluation) -> None:
        """Write everything that is wanted."""
        from unsmear.evaluation import as_csv, draw_curve, make_report

        if self.json is not None:
            text = jsonlib.dumps(evaluation.as_dict(), indent=2, allow_nan=False)
            if self.json == STREAM:
                say(text)
            else:
                write_text(Path(self.json), text + "\n")
        if self.csv is not None:
            write_text(self.csv, as_csv(evaluation))
        if self.report is not None:
            write_text(self.report, make_report(evaluation))
        if self.curve is not None:
            write_text(self.curve, draw_curve(evaluation.runs))


def _show(evaluation: Evaluation, *, beside: bool) -> None:
    """Print the tables, on stderr where stdout carries the figures."""
    from rich.console import Console
    from rich.table import Table

    from unsmear.evaluation import sheets

    # A path may hold [brackets], which are no markup.
    console = Console(stderr=beside, markup=False)
    if not console.is_terminal:  # a file has no edge to wrap at
        console = Console(stderr=beside, markup=False, width=WIDE)
    for sheet in sheets(evaluation):
        table = Table(title=sheet.title, title_justify="left")
        for number, name in enumerate(sheet.head):
            table.add_column(name, justify="right" if number else "left")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
    console.print(NOTES, style="dim")

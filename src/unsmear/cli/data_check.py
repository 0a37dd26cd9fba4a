"""``unsmear data check``: what is wrong with data sets."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsmear.cli.console import say
from unsmear.cli.extras import needing
from unsmear.cli.options import JsonSwitch, Quiet
from unsmear.cli.page import page
from unsmear.errors import InputError

if TYPE_CHECKING:
    from unsmear.data.check import Checked, Finding
    from unsmear.data.sources import FileSource

PAGE = page(
    "PATH... [--layout NAME] [--masks FOLDER] [--json]",
    {
        "Examples": {
            "unsmear data check ReLoBlur": "both splits, and that they share no picture",
            "unsmear data check ReLoBlur --masks annotated": "with masks that lie elsewhere",
            "unsmear data check my-train my-test": "two folders of NAME_blur.png, NAME_sharp.png",
        },
        "Exit codes": {
            "0": "nothing was found",
            "1": "something was found",
            "2": "a path or option cannot be used",
        },
    },
)


def command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Data sets.", show_default=False)
    ],
    layout: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How all of them are laid out: reloblur, gopro, hide, realblur, folder, or auto.",
        ),
    ] = "auto",
    masks: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="ReLoBlur's masks where they lie elsewhere; 'none' looks at no masks.",
            show_default=False,
        ),
    ] = None,
    shift: Annotated[
        float, typer.Option(metavar="PIXELS", help="How far a pair may be misaligned.")
    ] = 1.0,
    json: JsonSwitch = False,
    quiet: Quiet = False,
) -> int:
    """Find pairs that would spoil a training run or its figures.

    Files that are missing or cannot be read, pictures of unequal size, masks that are empty or
    mark the wrong part, pairs that are shifted against each other, and pictures that stand in both
    train and test.
    """
    if not shift >= 0:  # nor nan
        raise InputError(f"--shift is a number of pixels from 0, got {shift:g}.")
    with needing("train", "Looking at data sets"):
        from unsmear.data.sources import open_source

        options = {} if masks is None else {"masks": masks}
        sources = {str(path): open_source(path, layout, **options) for path in paths}
        checked, findings = _check(sources, shift, quiet=quiet)
    if json:
        report = {"pairs": len(checked), "findings": [each._asdict() for each in findings]}
        say(jsonlib.dumps(report, indent=2))
    elif findings or not quiet:
        _print(len(checked), findings)
    return 1 if findings else 0


def _check(
    sources: dict[str, FileSource], shift: float, *, quiet: bool
) -> tuple[list[Checked], list[Finding]]:
    from unsmear.cli.progress import Bar
    from unsmear.data.check import check_pairs, find_duplicates

    checked = []
    with Bar(sum(map(len, sources.values())), quiet=quiet) as bar:
        for pair in check_pairs(sources, shift):
            bar.begin(pair.name)
            bar.finish()
            checked.append(pair)
    findings = [finding for pair in checked for finding in pair.findings]
    return checked, findings + find_duplicates(checked)


def _print(pairs: int, findings: list[Finding]) -> None:
    if findings:
        from rich.console import Console
        from rich.table import Table

        table = Table("data set", "pair", "problem", "what")
        for finding in findings:
            table.add_row(*finding)
        Console(markup=False).print(table)
    spoilt = len({(finding.source, finding.name) for finding in findings})
    say(f"{pairs} pairs, {spoilt or 'none'} of them with something wrong")

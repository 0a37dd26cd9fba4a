"""``unsmear bench``: how fast a network is on this machine."""

from __future__ import annotations

import json as jsonlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsmear.cli import options
from unsmear.cli.console import say
from unsmear.cli.files import write_text
from unsmear.cli.info import parse_size
from unsmear.cli.page import page
from unsmear.errors import InputError, OutputError

if TYPE_CHECKING:
    from unsmear.speed.comparison import Comparison, Row

PAGE = page(
    "[MODEL] [--size WxH] [OPTIONS]",
    {
        "Examples": {
            "unsmear bench": "the default network on this machine",
            "unsmear bench lmdvit --dtype float32,bfloat16": "the paper's network, two types",
            "unsmear bench --baselines": "against plain torch, and the system's allocator",
            "unsmear bench --plot time.svg": "seconds over the share of windows kept",
        }
    },
)
OTHERS = {"plain": "plain torch", "untuned": "and its allocator untuned"}


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The name of an LMD-ViT.")
    ] = options.DEFAULT_MODEL,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Width and height of the picture.")
    ] = "512x512",
    baselines: Annotated[
        bool,
        typer.Option(
            help="Time plain torch beside it: whole batches, with the allocator tuned "
            "and, on the CPU, as the system has it."
        ),
    ] = False,
    repeats: Annotated[int, typer.Option(metavar="N", help="Pictures timed for each.")] = 5,
    device: options.Device = "auto",
    dtype: Annotated[
        str, typer.Option(metavar="TYPE[,TYPE]", help="auto, float32, bfloat16, float16.")
    ] = "auto",
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the figures.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg", help="Draw seconds over windows kept.", show_default=False
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how fast a network computes here, by the share of windows it keeps.

    Weights and picture are made up and the windows that are kept are drawn at random: time does
    not depend on them. Every way to compute has a process of its own, which take turns; medians
    count. Close other programs first.
    """
    width, height = parse_size(size)
    if repeats < 1:
        raise InputError(f"--repeats is a number of pictures from 1, got {repeats}.")
    types = _parse_types(dtype)
    for place in (json, plot):
        _check_place(place, overwrite=overwrite)
    if json is not None and plot is not None and json.resolve() == plot.resolve():
        raise InputError(f"--json and --plot both name {json}: give each a file of its own.")

    from unsmear.cli.progress import Bar
    from unsmear.models import CONFIGS, LMDViTConfig
    from unsmear.speed.comparison import compare
    from unsmear.speed.worker import Task

    if not isinstance(CONFIGS.get(model), LMDViTConfig):
        known = ", ".join(n for n, config in CONFIGS.items() if isinstance(config, LMDViTConfig))
        raise InputError(f"Only networks that prune windows are measured: {known}; got {model!r}.")
    on_cpu = device == "cpu" or (device == "auto" and _auto_is_cpu())
    paths = ["fast", *(["plain", "untuned"][: 1 + on_cpu] if baselines else [])]
    results = []
    with Bar(len(types), quiet=quiet) as bar:
        for one in types:
            bar.begin(f"{model} {one}")
            task = Task("fast", model, width, height, device, one)
            results.append(compare(task, paths, repeats, progress=bar.advance))
            bar.finish()
    if not quiet:
        for result in results:
            say(in_words(result))
    if json is not None:
        figures = {"cpus": os.cpu_count(), "results": [result.as_dict() for result in results]}
        write_text(json, jsonlib.dumps(figures, indent=2) + "\n")
    if plot is not None:
        from unsmear.speed.picture import draw_times

        write_text(plot, draw_times(results))


def in_words(result: Comparison) -> str:
    """A table for people."""
    task = result.task
    lines = [
        f"{task.model}  {task.width} x {task.height}  {task.device}  {task.dtype}  "
        f"{result.threads} threads",
        f"matrix peak {result.peak / 1e9:.0f} G operations/s, {result.of_peak:.0%} of it reached "
        "with every window kept",
    ]
    lines += [_row_in_words(row) for row in result.rows]
    line = result.line
    lines.append(
        f"seconds = {line.intercept:.3f} + {line.slope:.3f} x kept, R2 {line.r2:.4f}; with nothing "
        f"kept {result.rows[-1].seconds['fast'] / result.rows[0].seconds['fast']:.1%} of dense"
    )
    return "\n".join(lines) + "\n"


def _row_in_words(row: Row) -> str:
    words = f"{row.share:5.0%} kept  {row.seconds['fast']:7.3f} s"
    for path, name in OTHERS.items():
        if path in row.seconds:
            words += f"  {row.faster(path):5.2f} x {name}"
    return f"{words}  differs by {row.difference:.0e} ({row.psnr:.0f} dB)"


def _parse_types(text: str) -> list[str]:
    types = [part for part in re.split(r"[,\s]+", text) if part]
    known = [one.value for one in options.NumberType]
    if not types or not set(types) <= set(known):
        raise InputError(f"--dtype takes {', '.join(known)}, joined by commas; got {text!r}.")
    return types


def _check_place(place: Path | None, *, overwrite: bool) -> None:
    if place is None:
        return
    if place.is_dir():
        raise OutputError(f"{place} is a folder: give a file's name.")
    if not place.parent.is_dir():
        raise OutputError(f"There is no folder {place.parent}: make it first.")
    if place.exists() and not overwrite:
        raise OutputError(f"{place} already exists: use --overwrite, or another name.")


def _auto_is_cpu() -> bool:
    from unsmear.runtime import resolve_device

    return resolve_device("auto").type == "cpu"

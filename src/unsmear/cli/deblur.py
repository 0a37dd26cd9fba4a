"""``unsmear PHOTO...``: options checked, then handed to the worker."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from unsmear.cli import options
from unsmear.cli.page import COMMANDS, page
from unsmear.errors import InputError, OutputError

if TYPE_CHECKING:
    from unsmear.batch.plan import Plan

PAGE = page(
    "PHOTO... [-o OUT] [OPTIONS]",
    {
        "Examples": {
            "unsmear photo.jpg": "writes photo.unsmeared.jpg beside it",
            "unsmear photo.jpg -o better.png": "any of the formats, by the ending",
            "unsmear -r holiday -o restored": "a folder with all below it, the tree kept",
            "unsmear -r photos -o restored --manifest done.jsonl": "a million, in several goes",
            "unsmear photo.jpg --box 400,250,300,200": "only there, whatever the network finds",
            "unsmear photo.jpg --blur-map map.png": "see what was found",
            "unsmear - < in.jpg > out.jpg": "from stdin to stdout",
        },
        "Other commands (unsmear COMMAND --help)": {
            name: what for name, what in COMMANDS.items() if name != "deblur"
        },
        "Exit codes": {
            "0": "everything done; also when nothing was blurred, or all was done before",
            "1": "some of several photos failed, or the figures; the rest is done",
            "2": "the photo or the options cannot be used; nothing was written",
            "130": "stopped with Ctrl-C; what was finished stays",
        },
    },
)


def command(
    photos: options.Photos,
    output: options.Output = None,
    blur_map: options.BlurMap = None,
    json: options.Json = None,
    mask: options.Mask = None,
    box: options.Boxes = None,
    threshold: options.Threshold = None,
    strength: options.Strength = 1.0,
    dense: options.Dense = False,
    whole: options.Whole = False,
    recursive: options.Recursive = False,
    overwrite: options.Overwrite = False,
    in_place: options.InPlace = False,
    max_pixels: options.MaxPixels = 200_000_000,
    manifest: options.Manifest = None,
    failures: options.Failures = None,
    ray: options.Ray = None,
    ray_cpus: options.RayCpus = 1,
    model: options.Model = options.DEFAULT_MODEL,
    budget: options.Budget = None,
    device: options.Device = "auto",
    dtype: options.Dtype = options.NumberType.auto,
    tile: options.Tile = None,
    quiet: options.Quiet = False,
    version: options.Version = False,
) -> int:
    """Remove motion blur from photos, only where things moved.

    A network finds the parts that moved during the exposure and restores these; every other pixel
    comes back exactly as it was. The result has the photo's format, size, depth, colour profile
    and EXIF, and lies beside it as PHOTO.unsmeared.EXT unless -o says otherwise. In folders,
    photos whose result is there are skipped.
    """
    _check_together(photos, output, json, in_place=in_place)
    _check_numbers(threshold, strength, max_pixels, tile)
    _check_many(ray, ray_cpus, device, in_place=in_place)
    _check_reach(threshold, dense=dense, marked=mask is not None or bool(box))
    options.check_model(model)
    options.check_device(device)
    boxes = tuple(options.parse_box(text) for text in box or ())

    from unsmear.batch.jobs import Places
    from unsmear.batch.plan import make_plan
    from unsmear.batch.wishes import Wishes
    from unsmear.cli.figures import check_free
    from unsmear.cli.work import Cluster, Telling, do_many, do_one

    read = (Path(model),) if mask is None else (Path(model), mask)
    places = Places(output, blur_map, recursive, overwrite, in_place, read)
    kept = {"--manifest": manifest, "--failures": failures}
    plan = make_plan(photos, places, as_several=ray is not None or any(kept.values()))
    if json is not None and json != "-":
        kept["--json"] = Path(json)
        check_free(Path(json), "--json", overwrite=overwrite)
    _check_apart(kept, plan)
    wishes = Wishes(
        model=model,
        device=device,
        dtype=dtype.value,
        tile=tile,
        mask=mask,
        boxes=boxes,
        threshold=0.5 if threshold is None else threshold,
        strength=strength,
        budget=0.0 if budget is None else options.parse_budget(budget),
        dense=dense,
        whole=whole,
        max_pixels=max_pixels,
    )
    telling = Telling(json, manifest, failures, quiet)
    if plan.is_single:
        return do_one(plan.named[0], wishes, places, telling)
    cluster = None if ray is None else Cluster(ray, ray_cpus)
    return do_many(plan, wishes, places, telling, cluster)


def _check_together(
    photos: list[str], output: str | None, json: str | None, *, in_place: bool
) -> None:
    """Refuse options that contradict each other."""
    to_stdout = output == "-" or (photos == ["-"] and output is None)
    if in_place and output is not None:
        raise InputError("--in-place replaces the photo and -o writes elsewhere: choose one.")
    if in_place and "-" in photos:
        raise InputError("--in-place replaces a file, '-' is none: leave --in-place out.")
    if to_stdout and json == "-":
        raise InputError("stdout carries the picture: give --json the name of a file.")
    if to_stdout and sys.stdout.isatty():
        raise InputError("stdout is this terminal: send it to a file with '>', or use -o.")
    if photos == ["-"] and sys.stdin.isatty():
        raise InputError("stdin is this terminal: send a photo in with '<' or a pipe.")


def _check_numbers(
    threshold: float | None, strength: float, max_pixels: int, tile: int | None
) -> None:
    for name, share in (("threshold", threshold), ("strength", strength)):
        if share is not None and not 0 <= share <= 1:
            raise InputError(f"--{name} lies between 0 and 1, got {share:g}.")
    for name, number in (("max-pixels", max_pixels), ("tile", tile)):
        if number is not None and number < 1:
            raise InputError(f"--{name} is a number of pixels from 1, got {number}.")


def _check_reach(threshold: float | None, *, dense: bool, marked: bool) -> None:
    if threshold is not None and dense:
        raise InputError("--dense computes every window and --threshold chooses some: choose one.")
    if threshold is not None and marked:
        warnings.warn(
            "--threshold has no effect with --mask or --box: what they mark is deblurred, "
            "whatever the network finds",
            stacklevel=2,
        )


def _check_many(ray: str | None, cpus: int, device: str, *, in_place: bool) -> None:
    if ray is None:
        return
    if in_place:
        raise InputError(
            "--in-place replaces photos, which --ray could not do again when a machine fails: "
            "choose one."
        )
    if cpus < 1:
        raise InputError(f"--ray-cpus is a number of cores from 1, got {cpus}.")
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"With --ray the device is auto, cpu or cuda, got {device!r}.")


def _check_apart(kept: dict[str, Path | None], plan: Plan) -> None:
    """Refuse to write figures and the like over what is read or made, or over each other."""
    taken: dict[Path, str] = {}
    for option, path in kept.items():
        if path is None:
            continue
        if plan.claims(path):
            raise OutputError(f"{path} is read or made by this run: give {option} another name.")
        if path in taken:
            raise OutputError(f"{path} cannot be both {taken[path]} and {option}: name another.")
        taken[path] = option

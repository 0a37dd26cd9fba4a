"""``unsmear mask``: where pictures are blurred, by their sharp twins."""

from __future__ import annotations

import json as jsonlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from unsmear.cli.console import complain, say
from unsmear.cli.extras import needing
from unsmear.cli.options import JsonSwitch, Overwrite, Quiet
from unsmear.cli.page import page
from unsmear.errors import InputError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

    from unsmear.cli.mask_sheet import MaskSheet
    from unsmear.data import Pair, PairMaskConfig
    from unsmear.data.sources import FileSource
    from unsmear.metrics import MaskAgreement

PAGE = page(
    "BLURRED SHARP [-o MASK.png] | --data PATH [-o FOLDER] [OPTIONS]",
    {
        "Examples": {
            "unsmear mask blurred.png sharp.png": "writes blurred.unsmeared.mask.png",
            "unsmear mask --data ReLoBlur -o masks --sheet look.jpg": "a whole set, to look over",
            "unsmear mask --data ReLoBlur --split test": "only say how they agree with its own",
        },
        "Agreement with given masks": {
            "IoU": "pixels in both masks among the pixels in either",
            "precision": "pixels in both among the pixels found",
            "recall": "pixels in both among the pixels given",
            "mean": "over pictures; those where a share has nothing to count are left out",
        },
        "Exit codes": {
            "0": "everything done",
            "1": "some pairs of a set failed, the others are done",
            "2": "the pair or the options cannot be used",
        },
    },
)
SOME_FAILED = 1
NOTHING_DONE = 2

Place = Callable[[str], Path | None]
"""From a pair's name to its mask's file; None where none is wanted."""


class Made(NamedTuple):
    """A mask that is there.

    Attributes:
        name: of its pair.
        path: its file; None where none was wanted.
        blurred: share of the pixels that it marks.
        agreement: with the given mask; None where there is none.
    """

    name: str
    path: Path | None
    blurred: float
    agreement: MaskAgreement | None


def command(
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BLURRED SHARP",
            help="A blurred picture and its sharp twin.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A data set instead of one pair.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The mask's file; the folder for a set's masks, NAME.png each. "
            "[dim]Default: BLURRED.unsmeared.mask.png; for a set nothing is written.[/]",
            show_default=False,
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a contact sheet: blurred, sharp, the mask in red, a given one in blue.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="MASK",
            help="A mask to compare with. For ReLoBlur the folder of a mask release; a set's own "
            "masks are compared with in any case.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Of the set: reloblur, gopro, hide, realblur, folder, or auto."
        ),
    ] = "auto",
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only train or test of the set.", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="LEVELS",
            help="Grey levels, of 255, from which on a difference may be blur. "
            "[dim]Default: 0.8, and more where the pair is noisy.[/]",
            show_default=False,
        ),
    ] = None,
    misalignment: Annotated[
        int,
        typer.Option(metavar="PIXELS", help="How far the two pictures may be shifted."),
    ] = 1,
    overwrite: Overwrite = False,
    json: JsonSwitch = False,
    quiet: Quiet = False,
) -> int:
    """Mark where a picture is blurred, by comparing it with its sharp twin.

    What differs by more than noise, compression, another exposure and a small shift explain is
    marked white, without holes and specks. A set's masks that are in OUT already, perhaps put
    right by hand, are left as they are and take part in the sheet and the comparison.
    """
    pair = _check_together(pictures or [], data)
    with needing("train", "Making masks"):
        from unsmear.cli.mask_sheet import MaskSheet, sheet_pages
        from unsmear.data import PairMaskConfig

    options = {} if threshold is None else {"threshold": threshold}
    config = PairMaskConfig(misalignment=misalignment, **options)
    if pair is not None:
        source = _one_pair(*pair, compare)
        place = _place_of_one(pair[0], output, overwrite=overwrite)
    else:
        assert data is not None, "there is a pair or a set"
        place = _places_in(output)
        source = _open_set(data, layout, split, compare)
    places = [] if sheet is None else sheet_pages(sheet, len(source))
    for page_place in places:
        _check_file(page_place, overwrite=overwrite)
    _check_apart(source, place, places, overwrite=overwrite)
    pages = MaskSheet(places, overwrite=overwrite) if places else None
    made, problems = _make_all(source, config, place, pages, overwrite=overwrite, quiet=quiet)
    for problem in problems:
        complain(problem)
    if not made:
        return NOTHING_DONE
    _report(made, [] if pages is None else pages.pages, json=json, quiet=quiet)
    return SOME_FAILED if problems else 0


def _check_together(pictures: list[Path], data: Path | None) -> tuple[Path, Path] | None:
    """The pair that was named; None for a set."""
    if data is not None and not pictures:
        return None
    if data is None and len(pictures) == 2:
        return pictures[0], pictures[1]
    raise InputError("unsmear mask wants a blurred and a sharp picture, or --data with a set.")


def _check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that could not be written, before any time is spent on it."""
    from unsmear.images.formats import format_of_path

    format_of_path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give a file's name.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}: make it first.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists: use --overwrite, or another name.")


def _place_of_one(blurred: Path, output: Path | None, *, overwrite: bool) -> Place:
    path = output or blurred.with_name(f"{blurred.stem}.unsmeared.mask.png")
    _check_file(path, overwrite=overwrite)
    return lambda name: path


def _places_in(output: Path | None) -> Place:
    if output is not None and output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file: a set's masks need a folder after -o.")
    return lambda name: output and output / f"{name}.png"


def _check_apart(source: FileSource, place: Place, sheets: list[Path], *, overwrite: bool) -> None:
    """Refuse to write over a picture that is read, and the sheet over a mask."""
    masks = [path for name in source.names if (path := place(name)) is not None]
    taken = {os.path.realpath(path) for path in masks}
    for sheet in sheets:
        if os.path.realpath(sheet) in taken:
            raise OutputError(
                f"{sheet} cannot be both a mask and the sheet: give --sheet another name."
            )
    read = {os.path.realpath(path) for pair in source.files for path in pair[1:] if path}
    for path in (*masks, *sheets):
        # Without --overwrite, masks that are there stay.
        if overwrite and path.exists() and os.path.realpath(path) in read:
            raise OutputError(f"{path} is read here, and would be replaced: name another place.")


def _one_pair(blurred: Path, sharp: Path, given: Path | None) -> FileSource:
    from unsmear.data.sources import FileSource, PairFiles

    return FileSource("folder", [PairFiles(str(blurred), blurred, sharp, given)])


def _open_set(data: Path, layout: str, split: str | None, masks: Path | None) -> FileSource:
    from unsmear.data.sources import open_source

    options = {} if masks is None else {"masks": masks}
    return open_source(data, layout, split, **options)


def _make_all(
    source: FileSource,
    config: PairMaskConfig,
    place: Place,
    sheet: MaskSheet | None,
    *,
    overwrite: bool,
    quiet: bool,
) -> tuple[list[Made], list[InputError]]:
    """Make the masks one by one; what cannot be used comes back as problems."""
    from unsmear.cli.progress import Bar

    done: list[Made] = []
    problems: list[InputError] = []
    with Bar(len(source), quiet=quiet) as bar:
        for index, name in enumerate(source.names):
            bar.begin(name)
            try:
                pair = source[index]
                mask = _mask_of(pair, config, place(name), overwrite=overwrite)
                done.append(_judge(pair, mask, place(name)))
                if sheet is not None:
                    sheet.add(pair, mask, _in_words(done[-1]))
            except InputError as problem:
                problems.append(problem)
            bar.finish()
    if sheet is not None:
        sheet.finish()
    return done, problems


def _mask_of(pair: Pair, config: PairMaskConfig, path: Path | None, *, overwrite: bool) -> Tensor:
    """Make a pair's mask and write it, or read the one that is there: [1, H, W] of 0 and 1."""
    from unsmear.data import pair_blur_mask
    from unsmear.data.sources.files import load_mask
    from unsmear.images import Picture, write_picture

    if path is not None and path.exists() and not overwrite:
        mask = load_mask(path)
        if mask.shape[1:] != pair.blurred.shape[1:]:
            raise InputError(f"{path} has another size than its pair: remove it, or --overwrite.")
        return mask
    try:
        mask = pair_blur_mask(pair.blurred, pair.sharp, config)
    except InputError as problem:  # it was given no name
        raise InputError(f"{pair.name}: {problem}") from None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(Picture.from_array(mask[0].numpy() * 255), path, overwrite=overwrite)
    return mask


def _judge(pair: Pair, mask: Tensor, path: Path | None) -> Made:
    from unsmear.metrics import mask_agreement

    agreement = None if pair.blur_mask is None else mask_agreement(mask, pair.blur_mask)
    return Made(pair.name, path, float(mask.float().mean()), agreement)


def _report(made: list[Made], pages: list[Path], *, json: bool, quiet: bool) -> None:
    from unsmear.metrics import mean_agreement

    compared = [each.agreement for each in made if each.agreement is not None]
    mean = mean_agreement(compared) if compared else None
    if json:
        report = {
            "masks": [_for_json(each) for each in made],
            "compared": len(compared),
            "mean": mean and _shares_for_json(mean),
            "sheets": [str(page) for page in pages],
        }
        say(jsonlib.dumps(report, indent=2))
    elif not quiet:
        for each in made:
            say(_in_words(each))
        if mean and len(made) > 1:
            say(f"mean of {len(compared)}{_agreement_in_words(mean)}")
        for page in pages:
            say(page)


def _for_json(made: Made) -> dict[str, Any]:
    shares = {} if made.agreement is None else _shares_for_json(made.agreement)
    path = None if made.path is None else str(made.path)
    return {"name": made.name, "mask": path, "blurred": made.blurred, **shares}


def _shares_for_json(agreement: MaskAgreement) -> dict[str, float | None]:
    # JSON has no NaN.
    shares = agreement._asdict().items()
    return {name: None if math.isnan(share) else share for name, share in shares}


def _in_words(made: Made) -> str:
    agreement = "" if made.agreement is None else _agreement_in_words(made.agreement)
    return f"{made.path or made.name}  {made.blurred:.1%} blurred{agreement}"


def _agreement_in_words(agreement: MaskAgreement) -> str:
    shares = agreement._asdict().items()
    return "".join(
        f"  {name} {'-' if math.isnan(share) else f'{share:.3f}'}" for name, share in shares
    )

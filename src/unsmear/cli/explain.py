"""``unsmear explain``: what a network did with a photo, as pictures and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsmear.cli import options
from unsmear.cli.console import say, speaking_of
from unsmear.cli.files import write_text
from unsmear.cli.page import page
from unsmear.errors import InputError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

PAGE = page(
    "PHOTO -o FOLDER [--model MODEL] [OPTIONS]",
    {
        "Examples": {
            "unsmear explain photo.jpg -o why": "writes why/index.html and its pictures as PNG",
            "unsmear explain photo.jpg -o why --model saphn.safetensors": "any network",
            "unsmear explain photo.jpg -o why --threshold 0.3": "with more windows kept",
        },
        "What is drawn": {
            "every network": "input, restored, and the change between them",
            "LMD-ViT": "the blur map; confidence and kept windows of each stage that prunes",
            "SAPHN": "sampled pixels; attention, offsets and kernels of three stages",
            "DMPHN, SRN": "the picture after every level or scale; sampled pixels, if any",
            "LBAG": "the gates at three sizes",
        },
    },
)
PAGE_NAME = "index.html"
SIZE = 1024


def command(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where the page and the pictures go; it is made where there is none.",
            show_default=False,
        ),
    ],
    model: options.Model = options.DEFAULT_MODEL,
    threshold: options.Threshold = None,
    budget: options.Budget = None,
    size: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            help="Make the photo smaller first, until its longer side has so many pixels. Blur "
            "shrinks with it.",
            rich_help_panel=options.COMPUTING,
        ),
    ] = SIZE,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
) -> None:
    """Draw what a network did with a photo: what it found, kept, sampled and changed.

    Writes a page for the browser, index.html, which needs no other file, and its pictures as
    PNG beside it. Pictures of another run in the folder stay, unless they have the same names.
    """
    if size < 1:
        raise InputError(f"--size is a number of pixels from 1, got {size}.")
    _check_folder(output, overwrite=overwrite)
    extra = None if budget is None else options.parse_budget(budget)

    from unsmear.explain import explain, make_page, shrunk
    from unsmear.images import Picture, write_picture
    from unsmear.models import load_model
    from unsmear.runtime import resolve_device, tune_process

    tune_process()
    whole = _read(photo)
    seen = shrunk(whole, size)
    network = load_model(model).to(resolve_device(device))
    figures = explain(network, seen, threshold=threshold, budget=extra)
    facts = {
        "Network": f"{model} ({type(network).__name__})",
        "Photo": _size_in_words(whole),
        "Seen at": f"{_size_in_words(seen)}; blur shrinks with a photo"
        if seen is not whole
        else "full size",
        **({} if threshold is None else {"Threshold": f"{threshold:g}"}),
        **({} if extra is None else {"Budget": f"{extra:+.0%}"}),
    }
    output.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        place = output / f"{figure.name}.png"
        write_picture(
            Picture.from_array(figure.picture), place, overwrite=overwrite, input_path=photo
        )
    write_text(output / PAGE_NAME, make_page(photo.name, facts, figures))
    say(f"{output / PAGE_NAME}  {len(figures)} pictures")


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that could not be filled, before any work."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: -o needs a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(f"{folder} has files in it: use --overwrite, or another folder.")


def _read(photo: Path) -> Tensor:
    """A picture as the network sees it: [1, 3, H, W] in [0, 1]."""
    import torch

    from unsmear.images import read_picture

    with speaking_of(photo):
        picture = read_picture(photo)
    values = torch.from_numpy(picture.rgb.astype("float32") / picture.max_value)
    return values.permute(2, 0, 1)[None]


def _size_in_words(picture: Tensor) -> str:
    return f"{picture.shape[-1]} x {picture.shape[-2]} pixels"

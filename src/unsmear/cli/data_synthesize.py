"""``unsmear data synthesize``: blurred/sharp/mask triples from photos of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsmear.cli.console import say
from unsmear.cli.extras import needing
from unsmear.cli.options import Quiet
from unsmear.cli.page import page

if TYPE_CHECKING:
    from unsmear.data import BlurSynthesizer

PAGE = page(
    "--stills DIR [--objects DIR] [--clips DIR] -o OUT --count N [OPTIONS]",
    {
        "Examples": {
            "unsmear data synthesize --stills photos -o pairs --count 500": "pieces of photos move",
            "unsmear data synthesize --stills photos --objects cutouts -o pairs --count 500": (
                "and things with transparent ground"
            ),
            "unsmear data check pairs": "they are a data set like any other",
        },
    },
)


def command(
    stills: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="Sharp photos. Repeat for more.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Folder for the pairs.", show_default=False
        ),
    ],
    count: Annotated[
        int, typer.Option(metavar="N", help="Pairs in OUT in the end.", show_default=False)
    ],
    objects: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Cut-outs: PNG or WebP with transparent ground. Repeat for more.",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Videos of static cameras. Repeat for more.", show_default=False
        ),
    ] = None,
    size: Annotated[int, typer.Option(metavar="PIXELS", help="Side of the pictures.")] = 320,
    seed: Annotated[int, typer.Option(metavar="K", help="Another seed, other pairs.", min=0)] = 0,
    quiet: Quiet = False,
) -> None:
    """Write locally blurred pictures with their sharp twins and masks.

    OUT gets NAME_blur.png, NAME_sharp.png and NAME_mask.png, manifest.jsonl with a line a pair,
    and about.json with the seed and all else that decides them. Run again, it goes on where it
    stopped, or adds pairs up to a larger count; other settings need another folder.
    """
    with needing("train", "Synthesis"):
        from unsmear.cli.progress import Bar
        from unsmear.data.export import export_samples

        synthesizer = _synthesizer(stills, objects or [], clips or [], seed, size)
        with Bar(max(count, 1), quiet=quiet) as bar:
            for row in export_samples(synthesizer, output, count):
                bar.begin(row["name"])
                bar.finish()
    if not quiet:
        say(f"{output}  {count} pairs")


def _synthesizer(
    stills: list[Path], objects: list[Path], clips: list[Path], seed: int, size: int
) -> BlurSynthesizer:
    """A synthesizer of the kinds for which there is material."""
    from unsmear.data import BlurSynthesizer, MediaLibrary, SynthesisConfig, fitted

    library = MediaLibrary.from_folders(stills, objects, clips)
    return BlurSynthesizer(library, fitted(SynthesisConfig(), library), seed, size)

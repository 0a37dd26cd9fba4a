"""``unsmear CLIP``: options checked, then handed to the engine for clips."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsmear.cli import options
from unsmear.cli.console import note, say, speaking_of
from unsmear.cli.extras import needing
from unsmear.cli.page import page
from unsmear.errors import InputError, OutputError

if TYPE_CHECKING:
    import numpy as np

    from unsmear.inference import Deblurrer
    from unsmear.video import VideoReport

PAGE = page(
    "CLIP [-o OUT] [OPTIONS]",
    {
        "Examples": {
            "unsmear clip.mp4": "writes clip.unsmeared.mp4 beside it",
            "unsmear clip.mp4 -o better.mkv": "another container, by the ending",
            "unsmear clip.mp4 --crf 12": "a larger and better file",
            "unsmear clip.mp4 --box 400,250,300,200": "only there, in every frame",
        },
        "Exit codes": {
            "0": "done; also when nothing was blurred",
            "2": "the clip or the options cannot be used; nothing was written",
            "130": "stopped with Ctrl-C; the same command goes on",
        },
    },
)
ENCODING = "Encoding"
STDOUT = "-"


def command(
    clips: Annotated[
        list[Path],
        typer.Argument(metavar="CLIP", help="A clip: MP4, MOV, MKV, WebM, AVI, TS and others."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Result file, its ending decides the container; or a folder. "
            "[dim]Default: CLIP.unsmeared.EXT beside the clip.[/]",
            rich_help_panel=options.RESULTS,
            show_default=False,
        ),
    ] = None,
    json: options.Json = None,
    mask: options.Mask = None,
    box: options.Boxes = None,
    threshold: options.Threshold = None,
    strength: options.Strength = 1.0,
    crf: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=63,
            metavar="0..63",
            help="Quality of the encoder, lower is better and larger. "
            "[dim]Default: one at which hardly a loss is visible, 16 for H.264.[/]",
            rich_help_panel=ENCODING,
            show_default=False,
        ),
    ] = None,
    lossless: Annotated[
        bool,
        typer.Option(
            "--lossless", help="Lose nothing; the file is large.", rich_help_panel=ENCODING
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    model: options.Model = options.DEFAULT_MODEL,
    device: options.Device = "auto",
    dtype: options.Dtype = options.NumberType.auto,
    quiet: options.Quiet = False,
) -> None:
    """Remove motion blur from a clip, only where things moved.

    Masks are steadied over neighbouring frames, so that nothing flickers; where the camera stands
    still, the network is given only what moves. Frames in which nothing is blurred go to the
    encoder as they were. Timestamps, audio, subtitles, chapters, rotation and colour tags are
    kept. A run that was stopped or killed goes on when the same command is given again.
    """
    if len(clips) != 1:
        raise InputError("Clips are done one at a time: name one, and no photos beside it.")
    if crf is not None and lossless:
        raise InputError("--crf chooses how much is lost and --lossless loses nothing: choose one.")
    options.check_model(model)
    options.check_device(device)
    boxes = tuple(options.parse_box(text) for text in box or ())
    clip = clips[0]
    place = _destination(clip, output)
    _check_figures(json, place, overwrite=overwrite)

    with needing("video", "Deblurring clips"):
        from unsmear.video import VideoSettings, deblur_clip
        from unsmear.video.joining import container_format
    from unsmear.batch.pipeline import overlap
    from unsmear.cli.progress import Bar
    from unsmear.inference import Steering

    container_format(place)
    steering = Steering(
        mask=None if mask is None else _read_mask(mask),
        boxes=boxes,
        threshold=0.5 if threshold is None else threshold,
        strength=strength,
    )
    with Bar(1, quiet=quiet) as bar, speaking_of(clip):
        bar.begin(str(clip))
        report = deblur_clip(
            clip,
            place,
            _engine(model, device, dtype.value),
            steering,
            VideoSettings(crf=crf, lossless=lossless),
            overwrite=overwrite,
            stages=overlap,
            progress=bar.advance,
        )
    if json is not None:
        figures = {"input": str(clip), "output": str(place), **asdict(report)}
        _write_figures(jsonlib.dumps(figures, indent=2), json)
    if not quiet:
        (note if json == STDOUT else say)(f"{place}  {_in_words(report)}")


def _engine(model: str, device: str, dtype: str) -> Deblurrer:
    from unsmear.inference import Deblurrer
    from unsmear.runtime import tune_process

    tune_process()
    return Deblurrer(model, device=device, dtype=dtype)


def _destination(clip: Path, output: Path | None) -> Path:
    from unsmear.batch.jobs import is_result, result_path

    if output is None:
        if is_result(clip):
            raise InputError(f"{clip} is a result of unsmear: name one with -o to deblur it again.")
        return result_path(clip.parent, clip.name)
    return output / clip.name if output.is_dir() else output


def _check_figures(json: str | None, place: Path, *, overwrite: bool) -> None:
    """Refuse a place for figures where they could not be written, before any work."""
    if json is None or json == STDOUT:
        return
    path = Path(json)
    if path == place:
        raise OutputError(f"{path} is the result itself: give --json another name.")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"{path} is no place for a file: give --json a file's name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists: use --overwrite, or another name for --json.")


def _write_figures(text: str, json: str) -> None:
    from unsmear.cli.files import write_text

    if json == STDOUT:
        say(text)
    else:
        write_text(Path(json), text + "\n")


def _read_mask(path: Path) -> np.ndarray:
    from unsmear.batch.worker import read_mask

    return read_mask(path, 200_000_000)


def _in_words(report: VideoReport) -> str:
    from unsmear.batch.worker import percent

    seconds = f"{report.seconds:.1f} s"
    resumed = f"  {report.resumed_frames} frames done before" if report.resumed_frames else ""
    if not report.changed_frames:
        return f"nothing to do: no motion blur found in {report.frames} frames{resumed}  {seconds}"
    return (
        f"{report.changed_frames} of {report.frames} frames changed, "
        f"{percent(report.touched_fraction)} of the pixels  "
        f"{percent(report.seen_fraction)} seen  flicker {report.flicker:+.4f}{resumed}  {seconds}"
    )

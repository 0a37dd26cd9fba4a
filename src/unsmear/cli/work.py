"""Doing the jobs: read, deblur, write, and say what came of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unsmear.cli.console import complain, note, say, speaking_of
from unsmear.cli.files import write_text
from unsmear.cli.plan import STREAM, Job, Places, Plan, check_destination, is_done
from unsmear.cli.progress import Bar
from unsmear.errors import InputError, ModelError, OutputError
from unsmear.images import (
    SUPPORTED_SUFFIXES,
    Picture,
    encode_picture,
    read_picture,
    write_picture,
)

if TYPE_CHECKING:
    from unsmear.inference import Deblurred, Deblurrer

SOME_FAILED = 1
NOTHING_DONE = 2


@dataclass(frozen=True)
class Wishes:
    """What the user asked for, beside files.

    Attributes:
        model: name or checkpoint.
        device: "auto", "cpu", "cuda", "mps".
        dtype: "auto", "float32", "bfloat16", "float16".
        tile: side of forced tiles.
        mask: file whose white says where to deblur.
        boxes: rectangles (x, y, width, height) to deblur.
        threshold: blur confidence above which a window is kept.
        strength: share of the change that is applied.
        budget: of networks that sample pixels, how many more to work on.
        dense: prune nothing.
        whole: give the network's raw output.
        max_pixels: larger pictures are refused.
        json: file for the figures, "-" for stdout.
        quiet: print problems only.
    """

    model: str
    device: str = "auto"
    dtype: str = "auto"
    tile: int | None = None
    mask: Path | None = None
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    threshold: float = 0.5
    strength: float = 1.0
    budget: float = 0.0
    dense: bool = False
    whole: bool = False
    max_pixels: int = 200_000_000
    json: str | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one job.

    Attributes:
        line: for people.
        is_changed: whether any pixel is another one.
        figures: for JSON.
    """

    line: str
    is_changed: bool
    figures: dict[str, Any]


class Worker:
    """Does jobs one after the other with one network.

    Args:
        wishes: what the user asked for.
        places: what the user said about files.
    """

    def __init__(self, wishes: Wishes, places: Places) -> None:
        self.wishes = wishes
        self.places = places
        self.mask = None if wishes.mask is None else read_mask(wishes.mask, wishes.max_pixels)

    @cached_property
    def engine(self) -> Deblurrer:
        """The engine; made when the first photo has been read, since torch takes its time."""
        from unsmear.inference import Deblurrer
        from unsmear.runtime import tune_process

        tune_process()
        wishes = self.wishes
        try:
            return Deblurrer(
                wishes.model, device=wishes.device, dtype=wishes.dtype, tile=wishes.tile
            )
        except InputError as error:
            # Such as a device that is not there: it ends the run, not one photo.
            raise ModelError(str(error)) from None

    def run(self, plan: Plan) -> int:
        """Do all jobs of a plan and give the exit code."""
        return self._run_one(plan.jobs[0]) if plan.is_single else self._run_all(plan)

    def _run_one(self, job: Job) -> int:
        with Bar(1, quiet=self.wishes.quiet) as bar:
            bar.begin(job.name)
            job, picture = self._read(job)
            outcome = self._deblur(job, picture, bar.advance)
        if self.wishes.json is not None:
            write_json(outcome.figures, self.wishes.json, overwrite=self.places.overwrite)
        self._tell(outcome.line, beside=job.destination is None)
        return 0

    def _run_all(self, plan: Plan) -> int:
        outcomes: list[Outcome] = []
        before, failed = len(plan.done), len(plan.problems)
        for problem in plan.problems:
            complain(problem)
        with Bar(len(plan.jobs), quiet=self.wishes.quiet) as bar:
            for job in plan.jobs:
                bar.begin(job.name)
                try:
                    settled, picture = self._read(job)
                    if settled != job and is_done(settled, self.places):
                        before += 1
                    else:
                        outcomes.append(self._deblur(settled, picture, bar.advance))
                        self._tell(outcomes[-1].line)
                except (InputError, OutputError) as error:
                    failed += 1
                    complain(error)
                bar.finish()
        if self.wishes.json is not None:
            figures = [outcome.figures for outcome in outcomes]
            write_json(figures, self.wishes.json, overwrite=self.places.overwrite)
        self._tell(summary(outcomes, before, failed))
        if failed:
            return SOME_FAILED if outcomes or before else NOTHING_DONE
        return 0

    def _tell(self, line: str, *, beside: bool = False) -> None:
        if self.wishes.quiet:
            return
        # Where stdout carries the picture or the figures, lines for people go to stderr.
        (note if beside or self.wishes.json == STREAM else say)(line)

    def _read(self, job: Job) -> tuple[Job, Picture]:
        """Read a photo, and settle its job by what it turned out to be."""
        check_destination(job, self.places)
        source = sys.stdin.buffer if job.source is None else job.source
        with speaking_of(job.name):
            picture = read_picture(source, max_pixels=self.wishes.max_pixels)
        if self.mask is not None and self.mask.shape[::-1] != picture.size:
            sizes = [" x ".join(map(str, size)) for size in (self.mask.shape[::-1], picture.size)]
            raise InputError(
                f"The mask {self.wishes.mask} has {sizes[0]} pixels, {job.name} has {sizes[1]}: "
                "make the mask the photo's size."
            )
        return settle(job, picture.format), picture

    def _deblur(self, job: Job, picture: Picture, progress: Callable[[float], None]) -> Outcome:
        from unsmear.inference import Steering

        check_destination(job, self.places)
        wishes = self.wishes
        steering = Steering(
            mask=self.mask,
            boxes=wishes.boxes,
            threshold=wishes.threshold,
            strength=wishes.strength,
            budget=wishes.budget,
            dense=wishes.dense,
            whole=wishes.whole,
        )
        try:
            with speaking_of(job.name):
                result = self.engine.deblur(picture, steering, progress)
            written = self._write(job, result)
        except (MemoryError, RuntimeError) as error:
            # torch says it in words; the engine has tried smaller tiles by then.
            if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
                raise
            raise InputError(
                f"{job.name} does not fit into memory: close other programs, or make it smaller."
            ) from None
        except InputError as error:
            # The engine knows no file names.
            named = job.name in str(error)
            raise error if named else InputError(f"{job.name}: {error}") from None
        figures = {"input": job.name, "output": str(written or STREAM), **result.report.as_dict()}
        if job.blur_map is not None:
            figures["blur_map"] = str(job.blur_map)
        line = f"{written or job.name}  {self._what_happened(result)}"
        return Outcome(line, result.picture.is_changed, figures)

    def _write(self, job: Job, result: Deblurred) -> Path | None:
        """Write the result and the map; gives where the result is, None for stdout."""
        picture, places = result.picture, self.places
        if job.blur_map is not None:
            _make_folder(job.blur_map.parent)
            grey = Picture.from_array(np.rint(result.blur_map * 255).astype(np.uint8))
            write_picture(grey, job.blur_map, overwrite=places.overwrite, input_path=job.source)
        if job.destination is None:
            sys.stdout.buffer.write(encode_picture(picture, picture.format or "PNG"))
            sys.stdout.buffer.flush()
            return None
        if places.in_place and not picture.is_changed:
            return job.destination
        _make_folder(job.destination.parent)
        write_picture(
            picture,
            job.destination,
            overwrite=places.overwrite,
            input_path=job.source,
            in_place=places.in_place,
        )
        return job.destination

    def _what_happened(self, result: Deblurred) -> str:
        seconds = f"{result.report.seconds:.1f} s"
        if result.picture.is_changed:
            return f"{percent(result.report.touched_fraction)} touched  {seconds}"
        if self.wishes.strength == 0:
            reason = "nothing to do: the strength is 0"
        elif result.report.warnings:
            reason = "left as it was, see the warning"
        elif self.mask is not None or self.wishes.boxes:
            reason = "nothing to do: no motion blur found in the marked part"
        elif result.report.blurred_fraction > 0:
            reason = "nothing changed, though motion blur was found"
        else:
            reason = "nothing to do: no motion blur found"
        return f"{reason}  {seconds}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made ({error.strerror}): choose another."
        ) from None


def settle(job: Job, format: str | None) -> Job:
    """The job once the photo's real format is known: its result's suffix follows that."""
    path = job.destination
    if path is None or not job.suffix_is_ours:
        return job
    named = SUPPORTED_SUFFIXES.get(path.suffix.lower())
    if named == format:
        return job
    suffix = next((each for each, name in SUPPORTED_SUFFIXES.items() if name == format), ".png")
    fitting = path.with_suffix(suffix) if named else path.with_name(path.name + suffix)
    return replace(job, destination=fitting)


def read_mask(path: Path, max_pixels: int) -> np.ndarray:
    """Read where to deblur, (H, W) bool: the light half of a picture."""
    picture = read_picture(path, max_pixels=max_pixels)
    return picture.rgb.mean(axis=2) > picture.max_value / 2


def percent(share: float) -> str:
    """A share for people; what is above nothing never shows as nothing."""
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def summary(outcomes: list[Outcome], before: int, failed: int) -> str:
    """The last line of a run over several photos."""
    unchanged = sum(not outcome.is_changed for outcome in outcomes)
    text = f"{len(outcomes)} done"
    if unchanged:
        text += f" ({unchanged} of them unchanged)"
    if before:
        text += f", {before} done before (--overwrite does them again)"
    if failed:
        text += f", {failed} failed"
    return text


def write_json(figures: object, place: str, *, overwrite: bool) -> None:
    """Write figures to a file, complete or not at all, or to stdout.

    Raises:
        OutputError: The file is there already, or cannot be written.
    """
    text = json.dumps(figures, indent=2)
    if place == STREAM:
        say(text)
        return
    path = Path(place)
    check_json(path, overwrite=overwrite)
    write_text(path, text + "\n")


def check_json(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for figures where they could not be written.

    Raises:
        OutputError: The file is there already, or its folder is not.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: --json needs a file's name.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}: make it first.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists: use --overwrite, or another name for --json.")

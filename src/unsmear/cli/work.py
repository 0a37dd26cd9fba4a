"""Doing the jobs: read, deblur, write, and say what came of it."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unsmear.cli.console import complain, keeping_warnings, note, say, speaking_of
from unsmear.cli.files import write_text
from unsmear.cli.pipeline import overlap
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
    from unsmear.inference import Deblurred, Deblurrer, Steering

SOME_FAILED = 1
NOTHING_DONE = 2

# Encoding takes about 45 bytes a pixel. On a CPU, the network's own hundreds leave no room for that
# when a picture is larger than this; up to here they come to a few gigabytes together.
LARGE = 16_000_000  # px


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


@dataclass
class Tally:
    """What came of several jobs.

    Attributes:
        before: how many were done before.
        failed: how many failed.
        outcomes: of the others.
    """

    before: int
    failed: int
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit code."""
        if not self.failed:
            return 0
        return SOME_FAILED if self.outcomes or self.before else NOTHING_DONE

    @property
    def line(self) -> str:
        """The last line, for people."""
        unchanged = sum(not outcome.is_changed for outcome in self.outcomes)
        text = f"{len(self.outcomes)} done"
        if unchanged:
            text += f" ({unchanged} of them unchanged)"
        if self.before:
            text += f", {self.before} done before (--overwrite does them again)"
        if self.failed:
            text += f", {self.failed} failed"
        return text


@dataclass
class _Passage:
    """One of several photos on its way from reading to writing.

    Attributes:
        planned: the job as it was planned.
        job: the same, settled by what the photo turned out to be.
        picture: the photo, from reading to deblurring.
        result: from deblurring to writing.
        problem: what ended the way, a sentence.
        warnings: lines that wait until it is this photo's turn.
    """

    planned: Job
    job: Job
    picture: Picture | None = None
    result: Deblurred | None = None
    problem: str | None = None
    warnings: list[str] = field(default_factory=list)


class Worker:
    """Does jobs with one network, in order.

    Args:
        wishes: what the user asked for.
        places: what the user said about files.
        ahead: of several photos, how many are read, and how many written, while the network works
            on another; 0 does one thing after the other.
    """

    def __init__(self, wishes: Wishes, places: Places, *, ahead: int = 1) -> None:
        self.wishes = wishes
        self.places = places
        self.ahead = ahead
        self.mask = None if wishes.mask is None else read_mask(wishes.mask, wishes.max_pixels)

    @cached_property
    def engine(self) -> Deblurrer:
        """The engine; made when the first photo has been read, since torch takes its time."""
        with _collector_resting():
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

    @cached_property
    def steering(self) -> Steering:
        """What the engine is to do with each photo."""
        from unsmear.inference import Steering

        wishes = self.wishes
        return Steering(
            mask=self.mask,
            boxes=wishes.boxes,
            threshold=wishes.threshold,
            strength=wishes.strength,
            budget=wishes.budget,
            dense=wishes.dense,
            whole=wishes.whole,
        )

    def run(self, plan: Plan) -> int:
        """Do all jobs of a plan and give the exit code."""
        return self._run_one(plan.jobs[0]) if plan.is_single else self._run_all(plan)

    def _run_one(self, job: Job) -> int:
        with Bar(1, quiet=self.wishes.quiet) as bar:
            bar.begin(job.name)
            job, picture = self._read(job)
            outcome = self._write(job, self._deblur(job, picture, bar.advance))
        if self.wishes.json is not None:
            write_json(outcome.figures, self.wishes.json, overwrite=self.places.overwrite)
        self._tell(outcome.line, beside=job.destination is None)
        return 0

    # --- several photos: the next is read and the last written while the network works ---

    def _run_all(self, plan: Plan) -> int:
        tally = Tally(before=len(plan.done), failed=len(plan.problems))
        for problem in plan.problems:
            complain(problem)
        with Bar(len(plan.jobs), quiet=self.wishes.quiet) as bar:
            overlap(
                plan.jobs,
                self._enter,
                partial(self._pass, bar),
                partial(self._leave, tally),
                ahead=self.ahead,
                alone=self._fills_memory,
            )
        if self.wishes.json is not None:
            figures = [outcome.figures for outcome in tally.outcomes]
            write_json(figures, self.wishes.json, overwrite=self.places.overwrite)
        self._tell(tally.line)
        return tally.code

    def _enter(self, job: Job) -> _Passage:
        passage = _Passage(job, job)
        with self._under_way(passage):
            passage.job, passage.picture = self._read(job)
        return passage

    def _pass(self, bar: Bar, passage: _Passage) -> _Passage:
        bar.begin(passage.job.name)
        picture, passage.picture = passage.picture, None
        if picture is not None:
            with self._under_way(passage):
                passage.result = self._deblur(passage.job, picture, bar.advance)
        bar.finish()
        return passage

    def _leave(self, tally: Tally, passage: _Passage) -> None:
        outcome, result = None, passage.result
        if result is not None:
            with self._under_way(passage):
                outcome = self._write(passage.job, result)
        passage.result = None
        for line in passage.warnings:
            note(line)
        if passage.problem is not None:
            tally.failed += 1
            complain(passage.problem)
        elif outcome is None:
            tally.before += 1
        else:
            tally.outcomes.append(outcome)
            self._tell(outcome.line)

    @contextlib.contextmanager
    def _under_way(self, passage: _Passage) -> Iterator[None]:
        """Let a problem end one photo's way and not the run."""
        try:
            with keeping_warnings(passage.warnings):
                yield
        except (InputError, OutputError) as error:
            # A result that got another name on the way may be there under that one.
            renamed = passage.job != passage.planned
            if not (renamed and is_done(passage.job, self.places)):
                passage.problem = str(error)  # the error itself holds the picture

    def _fills_memory(self, passage: _Passage) -> bool:
        """Whether the network and a picture being written might not fit into memory together."""
        if passage.picture is None or math.prod(passage.picture.size) <= LARGE:
            return False
        return self.engine.device.type != "cuda"

    # --- each photo ---

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

    def _deblur(self, job: Job, picture: Picture, progress: Callable[[float], None]) -> Deblurred:
        check_destination(job, self.places)
        with _naming(job):
            return self.engine.deblur(picture, self.steering, progress)

    def _write(self, job: Job, result: Deblurred) -> Outcome:
        """Write the result and the map."""
        check_destination(job, self.places)
        with _naming(job):
            if job.blur_map is not None:
                _make_folder(job.blur_map.parent)
                grey = Picture.from_array(np.rint(result.blur_map * 255).astype(np.uint8))
                write_picture(
                    grey, job.blur_map, overwrite=self.places.overwrite, input_path=job.source
                )
            written = self._write_picture(job, result.picture)
        figures = {"input": job.name, "output": str(written or STREAM), **result.report.as_dict()}
        if job.blur_map is not None:
            figures["blur_map"] = str(job.blur_map)
        line = f"{written or job.name}  {self._what_happened(result)}"
        return Outcome(line, result.picture.is_changed, figures)

    def _write_picture(self, job: Job, picture: Picture) -> Path | None:
        """Write the result; gives where it is, None for stdout."""
        places = self.places
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


@contextlib.contextmanager
def _collector_resting() -> Iterator[None]:
    """Import a lot without looking through it for garbage over and over, a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def _naming(job: Job) -> Iterator[None]:
    """Name the photo in warnings and problems of those who know no file names."""
    try:
        with speaking_of(job.name):
            yield
    except (MemoryError, RuntimeError) as error:
        # torch says it in words; the engine has tried smaller tiles by then.
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        raise InputError(
            f"{job.name} does not fit into memory: close other programs, or make it smaller."
        ) from None
    except InputError as error:
        named = job.name in str(error)
        raise error if named else InputError(f"{job.name}: {error}") from None


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

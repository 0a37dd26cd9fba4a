"""Doing many jobs: the next photo is read and the last one written while the network works.

Several small photos are worked on at a time.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from unsmear.batch.fingerprint import hash_bytes, hash_file
from unsmear.batch.jobs import Job, Places, check_destination, foresee, is_done
from unsmear.batch.manifest import Manifest
from unsmear.batch.notices import listening_for, warnings_by_photo
from unsmear.batch.outcome import Ending, Outcome, Trace
from unsmear.batch.pipeline import overlap
from unsmear.batch.worker import Worker
from unsmear.errors import InputError, OutputError
from unsmear.images import Picture

if TYPE_CHECKING:
    from unsmear.inference import Deblurred

# Encoding takes about 45 bytes a pixel. On a CPU, the network's own hundreds leave no room for that
# when a picture is larger than this; up to here they come to a few gigabytes together.
LARGE = 16_000_000  # px

Step = Job | Ending
"""A job, or how a photo's way ended before it began."""

Tell = Callable[[Ending], object]
"""Is told how each photo's way ended."""


class Watch(Protocol):
    """Is told how far the network is."""

    def begin(self, name: str) -> None:
        """A photo is next."""

    def advance(self, share: float) -> None:
        """A share of it is done, in [0, 1]."""

    def finish(self) -> None:
        """It is done, or given up."""


def pending(steps: Iterable[Step], places: Places, manifest: Manifest | None) -> Iterator[Step]:
    """The same steps, with jobs that were done before as endings.

    Without a manifest a job is done when its result is there. A manifest knows better, and a result
    that it does not know is left as it is.
    """
    for step in steps:
        job = step
        if isinstance(job, Job) and manifest is not None:
            job = manifest.claim(job, anew=places.overwrite)
        if isinstance(job, Job) and not job.ours:
            is_there = is_done(job, places) or is_done(foresee(job), places)
            job = None if is_there else job
        yield Ending() if job is None else job


@dataclass
class _Passage:
    """A photo on its way from reading to writing.

    Attributes:
        planned: the job as it was planned.
        job: the same, settled by what the photo turned out to be.
        picture: the photo, from reading to deblurring.
        result: from deblurring to writing.
        trace: of the photo, once it was read.
        problem: what ended the way, a sentence.
        warnings: lines about this photo.
    """

    planned: Job
    job: Job
    picture: Picture | None = None
    result: Deblurred | None = None
    trace: Trace | None = None
    problem: str | None = None
    warnings: list[str] = field(default_factory=list)


class Run:
    """Does jobs with one worker, in order.

    Args:
        worker: holds the network.
        tell: is told how each photo's way ended, in order, in a thread of its own.
        begin: is told of each job that is about to be written: as it was planned, and settled.
        watch: is told how far the network is.
        ahead: how many photos are read, and how many written, while the network works on another;
            0 does one thing after the other.
    """

    def __init__(
        self,
        worker: Worker,
        tell: Tell,
        *,
        begin: Callable[[Job, Job], object] = lambda planned, job: None,
        watch: Watch | None = None,
        ahead: int = 1,
    ) -> None:
        self.worker = worker
        self.tell = tell
        self.begin = begin
        self.watch = watch
        self.ahead = ahead
        self._watching = threading.Lock()

    def do(self, steps: Iterable[Step]) -> None:
        """Do all jobs.

        Raises:
            ModelError: the network cannot be made.
        """
        with warnings_by_photo():
            overlap(
                steps,
                self._enter,
                self._pass,
                self._leave,
                ahead=self.ahead,
                alone=self._fills_memory,
                abreast=self._abreast,
            )

    def _enter(self, step: Step) -> _Passage | Ending:
        if isinstance(step, Ending):
            return step
        passage = _Passage(step, step)
        with self._under_way(passage):
            # Should the photo change right after, it will be seen to differ from this.
            status = _status(step.source)
            passage.job, passage.picture = self.worker.read(step)
            data = passage.picture.original_bytes
            if status is not None and data is not None:
                passage.trace = Trace(status.st_size, status.st_mtime_ns, hash_bytes(data))
        return passage

    def _pass(self, passage: _Passage | Ending) -> _Passage | Ending:
        abreast = self._abreast(passage)
        if isinstance(passage, _Passage):
            if self.watch is not None:
                self.watch.begin(passage.job.name)
            picture, passage.picture = passage.picture, None
            if picture is not None:
                # Shares of several photos at a time would drive the bar to and fro.
                advance = self._advance if abreast == 1 else lambda share: None
                with self._under_way(passage):
                    passage.result = self.worker.deblur(passage.job, picture, advance, abreast)
        if self.watch is not None:
            with self._watching:
                self.watch.finish()
        return passage

    def _abreast(self, passage: _Passage | Ending) -> int:
        """How many photos like this one are worked on at a time."""
        if isinstance(passage, Ending) or passage.picture is None:
            return self.worker.abreast(0)
        return self.worker.abreast(math.prod(passage.picture.size))

    def _advance(self, share: float) -> None:
        if self.watch is not None:
            self.watch.advance(share)

    def _leave(self, passage: _Passage | Ending) -> None:
        self.tell(passage if isinstance(passage, Ending) else self._written(passage))

    def _written(self, passage: _Passage) -> Ending:
        outcome: Outcome | None = None
        has_begun = False
        if passage.result is not None:
            with self._under_way(passage):
                check_destination(passage.job, self.worker.places)
                has_begun = True
        if passage.problem is not None and self._came_meanwhile(passage.job):
            return Ending()
        if has_begun and passage.result is not None:
            self.begin(passage.planned, passage.job)
            with self._under_way(passage):
                outcome = self.worker.write(passage.job, passage.result)
        passage.result = None
        trace, output = passage.trace, passage.job.destination
        if outcome is not None and trace is not None and output is not None:
            with contextlib.suppress(OSError):  # taken away at once, by whoever waited for it
                trace = trace._replace(output_content=hash_file(output))
        warnings = tuple(passage.warnings)
        return Ending(
            passage.planned, passage.job, outcome, passage.problem, warnings, trace, has_begun
        )

    def _came_meanwhile(self, job: Job) -> bool:
        """Whether a result is there now that another run must have made, since none was before."""
        return not job.ours and is_done(job, self.worker.places)

    @contextlib.contextmanager
    def _under_way(self, passage: _Passage) -> Iterator[None]:
        """Let a problem end one photo's way and not the run."""
        try:
            with listening_for(passage.job.name, passage.warnings):
                yield
        except (InputError, OutputError) as error:
            passage.problem = str(error)  # the error itself holds the picture

    def _fills_memory(self, passage: _Passage | Ending) -> bool:
        """Whether the network and a picture being written might not fit into memory together."""
        if isinstance(passage, Ending) or passage.picture is None:
            return False
        if math.prod(passage.picture.size) <= LARGE:
            return False
        return self.worker.engine.device.type != "cuda"


def _status(path: Path | None) -> os.stat_result | None:
    if path is None:
        return None
    try:
        return path.stat()
    except OSError:
        return None  # reading it will say why

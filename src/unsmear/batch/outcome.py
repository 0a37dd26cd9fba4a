"""What came of photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from unsmear.batch.jobs import Job

SOME_FAILED = 1
NOTHING_DONE = 2


@dataclass(frozen=True)
class Outcome:
    """A photo that was done.

    Attributes:
        line: for people.
        is_changed: whether any pixel is another one.
        figures: for JSON.
    """

    line: str
    is_changed: bool
    figures: dict[str, Any]


class Trace(NamedTuple):
    """By what a photo and its result are known again.

    Attributes:
        size: of the photo in bytes, when it was read.
        mtime_ns: when it was last written, likewise.
        content: hash of its bytes.
        output_content: hash of the result's bytes; None while there is none.
    """

    size: int
    mtime_ns: int
    content: str
    output_content: str | None = None


@dataclass(frozen=True)
class Ending:
    """How a photo's way ended: done, done before, or with a problem.

    Attributes:
        planned: the job as it was planned; None where there was none.
        job: the same, settled by what the photo turned out to be.
        outcome: of a photo that was done now.
        problem: what went wrong, a sentence.
        warnings: what the user should know, a line each.
        trace: of a photo that was read.
        has_begun: its result was being written, or has been.
        worker: the process that did it, where there are several.
    """

    planned: Job | None = None
    job: Job | None = None
    outcome: Outcome | None = None
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    trace: Trace | None = None
    has_begun: bool = False
    worker: str | None = None


@dataclass
class Tally:
    """What came of several photos.

    Attributes:
        done: how many were done.
        unchanged: how many of those came back as they were.
        before: how many were done before.
        failed: how many failed.
    """

    done: int = 0
    unchanged: int = 0
    before: int = 0
    failed: int = 0

    def add(self, ending: Ending) -> None:
        """Count one more."""
        if ending.problem is not None:
            self.failed += 1
        elif ending.outcome is None:
            self.before += 1
        else:
            self.done += 1
            self.unchanged += not ending.outcome.is_changed

    @property
    def code(self) -> int:
        """The exit code."""
        if not self.failed:
            return 0
        return SOME_FAILED if self.done or self.before else NOTHING_DONE

    @property
    def line(self) -> str:
        """The last line, for people."""
        text = f"{self.done} done"
        if self.unchanged:
            text += f" ({self.unchanged} of them unchanged)"
        if self.before:
            text += f", {self.before} done before (--overwrite does them again)"
        if self.failed:
            text += f", {self.failed} failed"
        return text

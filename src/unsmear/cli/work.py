"""Having jobs done, and saying what came of each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unsmear.batch.fingerprint import Settings
from unsmear.batch.jobs import STREAM, Job, Places
from unsmear.batch.manifest import Manifest
from unsmear.batch.outcome import SOME_FAILED, Ending, Tally
from unsmear.batch.plan import Plan
from unsmear.batch.run import Run, Step, pending
from unsmear.batch.wishes import Wishes
from unsmear.batch.worker import Worker
from unsmear.cli.console import complain, note, say, speaking_of
from unsmear.cli.counting import CountingBar
from unsmear.cli.extras import needing
from unsmear.cli.failures import Failures
from unsmear.cli.figures import FigureList, check_place, write_figures
from unsmear.cli.progress import Bar
from unsmear.errors import OutputError


@dataclass(frozen=True)
class Telling:
    """What the user wants to be told, and where.

    Attributes:
        json: file for the figures, "-" for stdout.
        manifest: file that says what was done with which photo.
        failures: file for the table of what failed.
        quiet: print problems only.
    """

    json: str | None = None
    manifest: Path | None = None
    failures: Path | None = None
    quiet: bool = False

    def tell(self, line: str, *, beside: bool = False) -> None:
        """Print a line for people."""
        if self.quiet:
            return
        # Where stdout carries the picture or the figures, lines for people go to stderr.
        (note if beside or self.json == STREAM else say)(line)


@dataclass(frozen=True)
class Cluster:
    """A cluster that does the jobs.

    Attributes:
        address: HOST:PORT of its head, "auto" or "local".
        cpus: cores of each network where there are no GPUs.
    """

    address: str
    cpus: int = 1


def do_one(job: Job, wishes: Wishes, places: Places, telling: Telling) -> int:
    """Do a single job and give the exit code."""
    worker = Worker(wishes, places)
    with Bar(1, quiet=telling.quiet) as bar, speaking_of(job.name):
        bar.begin(job.name)
        job, picture = worker.read(job)
        outcome = worker.write(job, worker.deblur(job, picture, bar.advance))
    telling.tell(outcome.line, beside=job.destination is None)
    if telling.json is not None:
        try:
            write_figures(outcome.figures, telling.json, overwrite=places.overwrite)
        except OutputError as error:
            complain(error)
            return SOME_FAILED  # the picture is there
    return 0


def do_many(
    plan: Plan, wishes: Wishes, places: Places, telling: Telling, cluster: Cluster | None = None
) -> int:
    """Do all jobs of a plan, here or on a cluster, and give the exit code."""
    with contextlib.ExitStack() as files:
        log = _Log(telling, files, wishes, places)
        with CountingBar(plan.counts(), quiet=telling.quiet) as bar:
            steps = pending(plan, places, log.manifest)
            if cluster is None:
                Run(Worker(wishes, places), log.add, begin=log.begin, watch=bar).do(steps)
            else:
                _do_on(cluster, steps, wishes, places, log, bar)
        return log.finish()


def _do_on(
    cluster: Cluster, steps: Iterable[Step], wishes: Wishes, places: Places, log: _Log, bar: Bar
) -> None:
    with needing("ray", "Running on a cluster"):
        from unsmear.batch.cluster import run_on_cluster

    def tell(ending: Ending) -> None:
        log.add(ending)
        bar.finish()

    run_on_cluster(cluster.address, wishes, places, steps, tell, begin=log.begin, cpus=cluster.cpus)


class _Log:
    """What came of several photos, told to whom it concerns.

    Args:
        telling: what the user wants to be told.
        files: closes what is opened here.
        wishes: what the user asked for.
        places: what the user said about files.
    """

    def __init__(
        self, telling: Telling, files: contextlib.ExitStack, wishes: Wishes, places: Places
    ) -> None:
        self.telling = telling
        self.tally = Tally()
        self.manifest: Manifest | None = None
        self.failures: Failures | None = None
        self.figures: FigureList | None = None
        if telling.manifest is not None:
            check_place(telling.manifest, "--manifest")
            manifest = Manifest(telling.manifest, Settings.of(wishes))
            self.manifest = files.enter_context(manifest)
        if telling.failures is not None:
            self.failures = files.enter_context(Failures(telling.failures))
        if telling.json is not None:
            figures = FigureList(telling.json, overwrite=places.overwrite)
            self.figures = files.enter_context(figures)

    def begin(self, planned: Job, job: Job) -> None:
        """A photo's result is about to be written."""
        if self.manifest is not None:
            self.manifest.begin(planned, job)

    def add(self, ending: Ending) -> None:
        """A photo's way ended."""
        self.tally.add(ending)
        if self.manifest is not None:
            self.manifest.record(ending)
        for line in ending.warnings:
            note(line)
        if ending.problem is not None:
            complain(ending.problem)
        elif ending.outcome is not None:
            if self.figures is not None:
                self.figures.add(ending.outcome.figures)
            self.telling.tell(ending.outcome.line)
        if self.failures is not None:
            self.failures.add(ending)

    def finish(self) -> int:
        """The run has ended; gives the exit code."""
        code = self.tally.code
        if self.failures is not None:
            self.failures.finish()
        try:
            if self.figures is not None:
                self.figures.finish()
        except OutputError as error:
            complain(error)
            code = code or SOME_FAILED  # the pictures are there
        where = self.telling.failures or self.telling.manifest
        listed = f" (listed in {where})" if where is not None and self.tally.failed else ""
        self.telling.tell(self.tally.line + listed)
        return code

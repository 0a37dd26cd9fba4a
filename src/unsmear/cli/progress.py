"""The one bar that shows how far a run is, on stderr and only for a person."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class Bar:
    """Progress over a number of photos, each advancing by shares of its own.

    Args:
        photos: how many.
        quiet: show nothing.
    """

    def __init__(self, photos: int, *, quiet: bool) -> None:
        console = Console(stderr=True)
        several = (MofNCompleteColumn(),) if photos > 1 else ()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            *several,
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
            # Lines for a file or a pipe must not be drawn with the bar on stderr.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._progress.add_task("", total=photos)
        self._finished = 0

    def __enter__(self) -> Bar:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._progress.stop()

    def begin(self, name: str) -> None:
        """Say which photo is next."""
        shown = name if len(name) <= 40 else "…" + name[-39:]
        self._progress.update(self._task, description=shown)

    def advance(self, share: float) -> None:
        """Show that a share of the present photo is done."""
        self._progress.update(self._task, completed=self._finished + share)

    def finish(self) -> None:
        """Show that the present photo is done, or given up."""
        self._finished += 1
        self._progress.update(self._task, completed=self._finished)

"""A progress bar that learns how many photos there are while they are worked on."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from unsmear.cli.progress import Bar


class CountingBar(Bar):
    """Progress over photos that are still being counted.

    Args:
        counts: how many there are, in parts; gone through beside the work, and only for a bar that
            is seen.
        quiet: show nothing.
    """

    def __init__(self, counts: Iterable[int], *, quiet: bool) -> None:
        super().__init__(2, quiet=quiet)  # several, as far as is known
        self._counts = counts
        self._ended = threading.Event()

    def __enter__(self) -> CountingBar:
        super().__enter__()
        if not self._progress.disable:
            threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        super().__exit__(*raised)

    def _count(self) -> None:
        total = 0
        for number in self._counts:
            if self._ended.is_set():
                return
            total += number
            self._progress.update(self._task, total=total)

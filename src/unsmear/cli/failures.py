"""The table of what failed in a run, for the eye and for other programs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType

from unsmear.batch.outcome import Ending
from unsmear.cli.figures import append, check_place
from unsmear.errors import OutputError

HEAD = "photo\tproblem\n"


class Failures:
    """A file with a line for each photo that failed; that of an earlier run is replaced.

    Args:
        path: the file.

    Raises:
        OutputError: Something else is there, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        check_place(path, "--failures")
        if path.exists() and not _is_table(path):
            raise OutputError(f"{path} is no table of failures: give --failures another name.")
        # A file name need not be text; it comes out as the bytes that it is.
        self._file = path.open("w", encoding="utf-8", errors="surrogateescape", newline="\n")
        self.path = path
        append(self._file, HEAD, path)

    def __enter__(self) -> Failures:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # what found no room is tried once more
            self._file.close()

    def add(self, ending: Ending) -> None:
        """Add what failed.

        Raises:
            OutputError: There is no room for it.
        """
        name = "" if ending.job is None else ending.job.name
        line = "\t".join(
            " ".join(os.fsdecode(text).split()) for text in (name, ending.problem or "")
        )
        append(self._file, line + "\n", self.path)


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(HEAD)) in (b"", HEAD.encode())

"""The table of what failed in a run, for the eye and for other programs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TextIO

from unsmear.batch.outcome import Ending
from unsmear.cli.figures import append, check_free
from unsmear.errors import OutputError

HEAD = "photo\tproblem\n"


class Failures:
    """A file with a line for each photo that failed.

    That of an earlier run is replaced when the first photo's way has ended, and not by a run that
    cannot begin.

    Args:
        path: the file.

    Raises:
        OutputError: Something else is there, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        check_free(path, "--failures", overwrite=True)
        if path.exists() and not _is_table(path):
            raise OutputError(f"{path} is no table of failures: give --failures another name.")
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # what found no room is tried once more
                self._file.close()

    def add(self, ending: Ending) -> None:
        """Take how a photo's way ended: what failed gets a line.

        Raises:
            OutputError: There is no room for it.
        """
        table = self._begun()
        if ending.problem is None:
            return
        name = "" if ending.job is None else ending.job.name
        line = "\t".join(" ".join(os.fsdecode(text).split()) for text in (name, ending.problem))
        append(table, line + "\n", self.path)

    def finish(self) -> None:
        """The run has ended, perhaps without a photo.

        Raises:
            OutputError: There is no room for the table.
        """
        self._begun()

    def _begun(self) -> TextIO:
        if self._file is None:
            # A file name need not be text; it comes out as the bytes that it is.
            self._file = self.path.open(
                "w", encoding="utf-8", errors="surrogateescape", newline="\n"
            )
            append(self._file, HEAD, self.path)
        return self._file


def _is_table(path: Path) -> bool:
    with path.open("r+b") as file:  # it is to be written, too
        return file.read(len(HEAD)) in (b"", HEAD.encode())

"""Figures as JSON: of one photo, or a list that grows with the run and is there when it ends."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import IO, Any

from unsmear.cli.console import naming_stdout
from unsmear.cli.files import write_text
from unsmear.errors import OutputError

STREAM = "-"


def write_figures(figures: object, place: str, *, overwrite: bool) -> None:
    """Write figures to a file, complete or not at all, or to stdout.

    Raises:
        OutputError: The file is there already, or cannot be written.
    """
    text = json.dumps(figures, indent=2) + "\n"
    if place == STREAM:
        with naming_stdout():
            sys.stdout.write(text)
            sys.stdout.flush()
        return
    check_free(Path(place), "--json", overwrite=overwrite)
    write_text(Path(place), text)


class FigureList:
    """The figures of many photos, as one list; they wait on the disk and not in memory.

    Args:
        place: the file, or "-" for stdout.
        overwrite: a file that is there may be replaced.
    """

    def __init__(self, place: str, *, overwrite: bool) -> None:
        self.path = None if place == STREAM else Path(place)
        self.place = self.path or Path(tempfile.gettempdir())
        self.overwrite = overwrite
        self._separator = "[\n"
        if self.path is None:
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at exit
        else:
            self._temporary = self.path.with_name(f".unsmear-{secrets.token_hex(8)}.tmp")
            self._file = self._temporary.open("x", encoding="utf-8", newline="\n")

    def __enter__(self) -> FigureList:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what found no room is tried once more
            self._file.close()
        if self.path is not None:
            self._temporary.unlink(missing_ok=True)

    def add(self, figures: dict[str, Any]) -> None:
        """Add one photo's.

        Raises:
            OutputError: There is no room for them.
        """
        item = textwrap.indent(json.dumps(figures, indent=2), "  ")
        append(self._file, self._separator + item, self.place)
        self._separator = ",\n"

    def finish(self) -> None:
        """Write the list.

        Raises:
            OutputError: The file is there already, or cannot be written.
        """
        append(self._file, "[]\n" if self._separator == "[\n" else "\n]\n", self.place)
        if self.path is None:
            self._file.seek(0)
            with naming_stdout():
                shutil.copyfileobj(self._file, sys.stdout)
                sys.stdout.flush()
            return
        check_free(self.path, "--json", overwrite=self.overwrite)
        try:
            self._file.close()
            self._temporary.replace(self.path)
        except OSError as error:
            raise _cannot(self.path, error) from None


def append(file: IO[str], text: str, path: Path) -> None:
    """Write to a file that is open, and through its buffer.

    Raises:
        OutputError: There is no room for it; the path names the file.
    """
    try:
        file.write(text)
        file.flush()
    except OSError as error:
        raise _cannot(path, error) from None


def check_free(path: Path, option: str, *, overwrite: bool) -> None:
    """Refuse a place for a file where it could not be written.

    Raises:
        OutputError: The file is there already, or none can be made there.
    """
    check_place(path, option)
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _cannot(path, error) from None
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists: use --overwrite, or another name for {option}.")


def check_place(path: Path, option: str) -> None:
    """Refuse a place where no file can be.

    Raises:
        OutputError: It is a folder, or its folder is not there.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: {option} needs a file's name.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}: make it first.")


def _cannot(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written ({error.strerror}): check its folder and disk.")

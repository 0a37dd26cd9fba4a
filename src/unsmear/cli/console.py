"""What the command says: results on stdout, everything else on stderr, a line each."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TextIO

STDOUT = "stdout"
# All but tabs, ends of lines and colours.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[\d;]*m)")

_subject: ContextVar[str] = ContextVar("subject", default="")


def say(text: object) -> None:
    """Print a line of the result on stdout."""
    with naming_stdout():
        _print(text, sys.stdout)


def note(text: object) -> None:
    """Print a line beside the result on stderr."""
    _print(text, sys.stderr)


def complain(problem: object) -> None:
    """Print what went wrong as one line on stderr."""
    note("unsmear: " + " ".join(str(problem).split()))


def _print(text: object, stream: TextIO) -> None:
    # A file name need not be text in the terminal's encoding, and must not steer the terminal.
    encoding = stream.encoding or "utf-8"
    line = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text))
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    print(line, file=stream, flush=True)


@contextlib.contextmanager
def naming_stdout() -> Iterator[None]:
    """Give the problem a name when stdout cannot be written."""
    try:
        yield
    except OSError as error:
        error.filename = STDOUT
        raise


@contextlib.contextmanager
def speaking_of(photo: object) -> Iterator[None]:
    """Name a photo in the warnings that come up inside."""
    token = _subject.set(str(photo))
    try:
        yield
    finally:
        _subject.reset(token)


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show Python's warnings as single lines on stderr."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text, subject = " ".join(str(message).split()), _subject.get()
        line = f"warning: {text}" if subject in text else f"warning: {subject}: {text}"
        note(line)

    with warnings.catch_warnings():
        # Ours are about one photo each, so none is left out because another photo had it too.
        warnings.filterwarnings("always", category=UserWarning, module=r"unsmear\b")
        warnings.showwarning = show
        yield


def package_version() -> str:
    """The version of this package and of Python."""
    from unsmear import __version__

    return f"unsmear {__version__} (Python {sys.version.split()[0]})"


def size_in_words(count: float) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def count_in_words(count: float) -> str:
    """A large number for people, such as 4.22 M or 1.49 T."""
    for unit, value in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= value:
            return f"{f'{count / value:#.3g}'.rstrip('.')} {unit}"
    return f"{count:.0f}"

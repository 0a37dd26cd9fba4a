"""The answers of a study, a line of JSON each, written as they are given."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from unsmear.errors import InputError


@dataclass(frozen=True)
class Answer:
    """What a person chose for a photo.

    Attributes:
        person: who.
        photo: name of the photo.
        shown: the models in the order shown, first to last.
        choice: the model whose restoration looks best; None for no difference.
        at: when, ISO 8601 in UTC.

    Raises:
        InputError: a name is no text, the choice was not shown, or fewer than two models were.
    """

    person: str
    photo: str
    shown: tuple[str, ...]
    choice: str | None
    at: str = ""

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) for name in (self.person, self.photo, *self.shown)):
            raise InputError(f"no answer: a name is no text in {self}")
        if len(set(self.shown)) < 2 or self.choice not in (None, *self.shown):
            raise InputError(f"no answer: {self.choice!r} chosen of {self.shown}")


class AnswerFile:
    """A file that grows by a line with every answer.

    Args:
        path: made with the first answer; one that is there is continued.

    Raises:
        InputError: the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers = _read(path) if path.exists() else []
        self._lock = threading.Lock()

    def add(self, answer: Answer) -> None:
        """Append an answer; when this returns it is on the disk."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps(asdict(answer) | {"at": now})
        with self._lock:
            # A line that a crash cut off must not swallow the next one.
            lead = "\n" if self._is_cut_off() else ""
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{lead}{line}\n")
                file.flush()
                os.fsync(file.fileno())
            self._answers.append(answer)

    def of(self, person: str, shown: Iterable[str]) -> dict[str, Answer]:
        """Photo to the last answer of a person, where these models were compared."""
        models = set(shown)
        with self._lock:
            return {
                answer.photo: answer
                for answer in self._answers
                if answer.person == person and set(answer.shown) == models
            }

    def _is_cut_off(self) -> bool:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def read_answers(path: Path) -> list[Answer]:
    """Read a file of answers; of a person's answers to one question the last one counts.

    Raises:
        InputError: the file is missing, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: name the file that 'unsmear study' wrote")
    return list(
        {(each.person, each.photo, frozenset(each.shown)): each for each in _read(path)}.values()
    )


def _read(path: Path) -> list[Answer]:
    try:
        with path.open(encoding="utf-8") as file:
            # Not splitlines(), which also splits at characters that a file name may hold.
            lines = [line.removesuffix("\n") for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as answers: {error}") from error
    answers = []
    for number, line in enumerate(lines, 1):
        # A crash may have cut a line off; the page never said that it was saved.
        if line.startswith("{") and not line.endswith("}"):
            continue
        answer = _parse(line)
        if answer is None:
            raise InputError(
                f"line {number} of {path} is no answer of a study: remove it, or name another file"
            )
        answers.append(answer)
    return answers


def _parse(line: str) -> Answer | None:
    try:
        said = json.loads(line)
        return Answer(**said | {"shown": tuple(said["shown"])})
    except (ValueError, TypeError, KeyError, InputError):
        return None

"""What was done with which photo under which settings: a file of JSON lines that only grows.

Each run begins with a line that says its settings. A photo gets a line before its result is
written and one when it is done or has failed; the last line of a photo counts. Lines are flushed to
the disk as they come, so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import json
import os
from array import array
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from unsmear.batch.fingerprint import Settings, hash_file
from unsmear.batch.jobs import Job, full_name, is_file
from unsmear.batch.outcome import Ending
from unsmear.errors import OutputError

START = b'{"manifest": 1, '

Row = dict[str, Any]


class Manifest:
    """An open manifest: its past is looked up, its present is appended.

    In memory a photo of the past takes 16 bytes.

    Args:
        path: the file; made where it is not there, and what a cut-off run left of a line is
            taken away.
        settings: of this run.

    Raises:
        OutputError: the file is something else, damaged, or cannot be written.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.fingerprint = settings.fingerprint
        try:
            # Bytes and no buffer: a line is written whole or, on a full disk, not at all.
            self._file = path.open("ab", buffering=0)
            self._past = path.open("rb")
            _lock(self._file, path)
            self._index = _Index(*self._read())
        except OSError as error:
            raise _cannot(path, error) from None
        self._append({"manifest": 1, "settings": self.fingerprint, **settings._asdict()})

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._past.close()

    def claim(self, job: Job, *, anew: bool = False) -> Job | None:
        """The job with what earlier runs wrote for it as its own; None when it is done.

        Done is a photo whose content and settings are those of its last line, while the files that
        were made are still there. A photo of the same size and time of change has the same content;
        of another time, its content is read.

        Args:
            job: as it is planned.
            anew: it is to be done again though it is done.
        """
        row = None if job.source is None else self._find(job.source)
        if row is None or row.get("planned", row.get("output")) != _name(job.destination):
            return job
        if not anew and self._is_done(row, job):
            return None
        return replace(job, ours=frozenset({row["output"], *map(_name, job.written[1:])}))

    def begin(self, planned: Job, job: Job) -> None:
        """Note that a photo's result is about to be written."""
        self._append(self._row(planned, job, "begun"), is_final=False)

    def record(self, ending: Ending) -> None:
        """Note how a photo's way ended; what was done before is there already."""
        planned, job, trace = ending.planned, ending.job, ending.trace
        if planned is None or job is None or (ending.problem is None and ending.outcome is None):
            return
        state = "done" if ending.problem is None else "failed"
        row = self._row(planned, job, state)
        if trace is not None:
            row |= trace._asdict()
        if ending.worker is not None:
            row["worker"] = ending.worker
        if ending.outcome is not None:
            row["figures"] = ending.outcome.figures
        if ending.problem is not None:
            row["problem"] = ending.problem
            if not (ending.has_begun or job.ours):
                # What may be there under that name is none of ours.
                del row["output"]
                row.pop("planned", None)
        self._append(row)

    def _row(self, planned: Job, job: Job, state: str) -> Row:
        row = {
            "input": _name(job.source),
            "state": state,
            "settings": self.fingerprint,
            "output": _name(job.destination),
        }
        if planned.destination != job.destination:
            row["planned"] = _name(planned.destination)
        if job.blur_map is not None:
            row["blur_map"] = _name(job.blur_map)
        return row

    def _is_done(self, row: Row, job: Job) -> bool:
        assert job.source is not None, "what was found has a name"
        if row["state"] != "done" or row["settings"] != self.fingerprint:
            return False
        if not all(is_file(Path(path)) for path in (row["output"], *job.written[1:])):
            return False
        try:
            status = job.source.stat()
            if (status.st_size, status.st_mtime_ns) == (row["size"], row["mtime_ns"]):
                return True
            content = hash_file(job.source)
        except OSError:
            return False  # whoever reads it will say why it cannot be read
        replaced = row["output_content"] if row["output"] == row["input"] else None
        return content in (row["content"], replaced)

    def _find(self, source: Path) -> Row | None:
        name = _name(source)
        offset = self._index.find(_key(name))
        if offset is None:
            return None
        self._past.seek(offset)
        row = json.loads(self._past.readline())
        return row if row["input"] == name else None

    def _append(self, row: Row, *, is_final: bool = True) -> None:
        try:
            self._file.write(json.dumps(row).encode() + b"\n")
            if is_final:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot(self.path, error) from None

    def _read(self) -> tuple[array[int], array[int]]:
        """Keys of the inputs and where their lines begin, in the order of the file."""
        keys, offsets = array("Q"), array("Q")
        if not START.startswith(self._past.read(len(START))):
            raise OutputError(
                f"{self.path} is no manifest of unsmear: give --manifest another name."
            )
        self._past.seek(0)
        offset = 0
        for number, line in enumerate(self._past, 1):
            if not line.endswith(b"\n"):
                break
            try:
                name = json.loads(line).get("input")
            except (ValueError, AttributeError):
                raise OutputError(f"Line {number} of {self.path} is damaged: remove it.") from None
            if name is not None:
                keys.append(_key(name))
                offsets.append(offset)
            offset += len(line)
        self._file.truncate(offset)
        return keys, offsets


class _Index:
    """Where the last line of each input begins."""

    def __init__(self, keys: array[int], offsets: array[int]) -> None:
        found = np.frombuffer(keys, np.uint64)
        order = np.argsort(found, kind="stable")  # of equal ones the last stays last
        is_last = np.ones(len(order), bool)
        is_last[:-1] = found[order[:-1]] != found[order[1:]]
        order = order[is_last]
        self._keys = found[order]
        self._offsets = np.frombuffer(offsets, np.uint64)[order]

    def find(self, key: int) -> int | None:
        place = int(np.searchsorted(self._keys, np.uint64(key)))
        if place == len(self._keys) or int(self._keys[place]) != key:
            return None
        return int(self._offsets[place])


def _lock(file: FileIO, path: Path) -> None:
    """Keep other runs out, which would do the same photos again, for as long as it is open."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"{path} is in use by another run: wait for its end.") from None


def _cannot(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written ({error.strerror}): check its folder and disk.")


def _name(path: Path | None) -> str:
    assert path is not None, "a manifest knows files only"
    return full_name(path)


def _key(name: str) -> int:
    """64 bits of a name; that two names share them is found out when the line is read."""
    return hash(name) & (2**64 - 1)

"""Work that survives a kill: a clip's new stream, kept in pieces until it is whole.

The pieces lie in a hidden folder beside the result, each written under a passing name and renamed.
A run that finds pieces made of the same clip with the same settings goes on after the last of them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch

from unsmear.errors import OutputError
from unsmear.video.restorer import Judged
from unsmear.video.sequence import Memory
from unsmear.video.steady import Verdict

MANIFEST = "manifest.json"
LOCK = "lock"


class Coded(NamedTuple):
    """A packet of the new stream.

    Attributes:
        data: its bytes.
        pts: when its frame is shown, in the clip's time base.
        duration: how long, likewise.
        is_key: whether decoding can begin there.
    """

    data: bytes
    pts: int
    duration: int
    is_key: bool


@dataclass(frozen=True)
class Tally:
    """Figures of some frames, to be added up.

    Attributes:
        frames: how many.
        changed: frames in which a pixel changed.
        pixels: of all frames.
        touched: pixels that changed.
        seen: pixels given to the network.
        refused: parts left as they were because the network's output was not sane.
        flicker: sum over still pixels, see :class:`~unsmear.video.flicker.Flicker`.
        still: still pixels.
    """

    frames: int = 0
    changed: int = 0
    pixels: int = 0
    touched: int = 0
    seen: int = 0
    refused: int = 0
    flicker: float = 0.0
    still: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Add figure by figure."""
        own, more = asdict(self), asdict(other)
        return Tally(**{name: own[name] + more[name] for name in own})


class Piece(NamedTuple):
    """A closed stretch of the new stream.

    Attributes:
        packets: in decoding order; the first one is a key.
        tally: of its frames.
        memory: what a sequence has to know that begins with the next frame.
    """

    packets: Sequence[Coded]
    tally: Tally
    memory: Memory


class Pieces:
    """The pieces of one result; no other run has a hand in them until they are closed.

    Args:
        folder: where they lie; it is made.
        key: what they depend on. Pieces of another key are thrown away.

    Raises:
        OutputError: the folder cannot be made or written to, or another run works in it.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        wanted = json.dumps(key, indent=2, sort_keys=True)
        manifest = folder / MANIFEST
        try:
            folder.mkdir(exist_ok=True)
            self._lock = _locked(folder / LOCK)
            if not (manifest.is_file() and manifest.read_bytes() == wanted.encode()):
                for path in folder.iterdir():
                    if path.name != LOCK:
                        path.unlink()
                manifest.write_text(wanted, encoding="utf-8")
        except BlockingIOError:
            raise OutputError(
                f"{folder} is in use by another run for the same result: wait for its end, or "
                "choose another name with -o."
            ) from None
        except OSError as error:
            raise OutputError(
                f"The folder {folder} for unfinished work cannot be made ({error.strerror}): "
                "choose another place with -o."
            ) from None
        self.count = 0
        while _is_whole(self._path(self.count)):
            self.count += 1

    def close(self) -> None:
        """Let other runs in."""
        if self._lock is not None:
            self._lock.close()

    def add(self, piece: Piece) -> None:
        """Keep the next piece."""
        path = self._path(self.count)
        passing = path.with_suffix(".tmp")
        try:
            with passing.open("wb") as file:
                np.savez(file, allow_pickle=False, **_arrays(piece))
            passing.replace(path)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written ({error.strerror}): make room there; the same command "
                "goes on."
            ) from None
        self.count += 1

    def tally(self) -> Tally:
        """Figures of all pieces."""
        total = Tally()
        for number in range(self.count):
            with np.load(self._path(number)) as stored:
                total += _tally(stored)
        return total

    def last_memory(self) -> Memory:
        """What a sequence has to know that goes on after the last piece."""
        if not self.count:
            return Memory()
        with np.load(self._path(self.count - 1)) as stored:
            return _memory(stored)

    def packets(self) -> Iterator[Coded]:
        """All packets in decoding order."""
        for number in range(self.count):
            with np.load(self._path(number)) as stored:
                ends = np.cumsum(stored["sizes"])
                data = stored["data"].tobytes()
                starts = ends - stored["sizes"]
                columns = (starts, ends, stored["pts"], stored["durations"], stored["keys"])
                for start, end, pts, duration, key in zip(*columns, strict=True):
                    yield Coded(data[start:end], int(pts), int(duration), bool(key))

    def times(self) -> np.ndarray:
        """When the frame of each packet is shown, in decoding order."""
        parts = []
        for number in range(self.count):
            with np.load(self._path(number)) as stored:
                parts.append(stored["pts"])
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def remove(self) -> None:
        """Throw all away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"


def _is_whole(path: Path) -> bool:
    """Whether a piece is there as it was written; a power cut may leave it empty or cut off."""
    try:
        with ZipFile(path) as arrays:
            return arrays.testzip() is None
    except (OSError, BadZipFile):
        return False


def fingerprint(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _locked(path: Path) -> BinaryIO | None:
    """A file that keeps other runs out until it is closed, or its process dies.

    Raises:
        BlockingIOError: another run has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    except OSError:  # a file system that knows no locks
        pass
    return file


def _arrays(piece: Piece) -> dict[str, np.ndarray]:
    packets, memory = piece.packets, piece.memory
    arrays = {
        "data": np.frombuffer(b"".join(packet.data for packet in packets), np.uint8),
        "sizes": np.array([len(packet.data) for packet in packets], np.int64),
        "pts": np.array([packet.pts for packet in packets], np.int64),
        "durations": np.array([packet.duration for packet in packets], np.int64),
        "keys": np.array([packet.is_key for packet in packets], bool),
        "tally": np.array(json.dumps(asdict(piece.tally))),
        "judged": np.array(memory.judged.number),
    }
    for number, verdict in enumerate(memory.verdicts):
        arrays[f"verdict{number}"] = torch.stack(verdict).numpy()
    for number, mean in enumerate(memory.judged.means):
        arrays[f"mean{number}"] = mean.float().numpy()
    return arrays


def _tally(stored: Mapping[str, np.ndarray]) -> Tally:
    return Tally(**json.loads(str(stored["tally"])))


def _memory(stored: Mapping[str, np.ndarray]) -> Memory:
    def numbered(name: str) -> list[torch.Tensor]:
        count = sum(key.startswith(name) for key in stored)
        return [torch.from_numpy(stored[f"{name}{number}"]) for number in range(count)]

    verdicts = tuple(Verdict(*maps) for maps in numbered("verdict"))
    return Memory(verdicts, Judged(tuple(numbered("mean")), int(stored["judged"])))

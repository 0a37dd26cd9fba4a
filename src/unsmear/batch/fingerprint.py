"""By what contents and settings are known again: hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from unsmear import __version__
from unsmear.batch.wishes import Wishes

_PIECE = 1 << 20


def hash_bytes(data: bytes) -> str:
    """The hash of a content: 40 hexadecimal digits of BLAKE2b."""
    return _digest([data])


def hash_file(path: Path) -> str:
    """The hash of a file's content, as :func:`hash_bytes` gives it."""
    with path.open("rb") as file:
        return _digest(iter(lambda: file.read(_PIECE), b""))


class Settings(NamedTuple):
    """All on which a photo's result depends, beside the photo.

    Attributes:
        weights: hash of the network's checkpoint.
        wishes: what the user asked for; without what changes speed or limits alone.
        version: of this package.
    """

    weights: str
    wishes: dict[str, Any]
    version: str = __version__

    @classmethod
    def of(cls, wishes: Wishes) -> Settings:
        """The settings of a run.

        Raises:
            ModelError: there is no such model, or it comes without weights.
            OSError: the mask or the weights cannot be read.
        """
        said = dataclasses.asdict(wishes)
        for name in ("model", "device", "max_pixels"):
            del said[name]
        said["mask"] = None if wishes.mask is None else hash_file(wishes.mask)
        return cls(_hash_weights(wishes.model), said)

    @property
    def fingerprint(self) -> str:
        """The hash of all of it."""
        return hash_bytes(json.dumps(self._asdict(), sort_keys=True).encode())


def _hash_weights(model: str) -> str:
    from unsmear.models.weights import find_checkpoint

    path = find_checkpoint(model)
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return hash_bytes("".join(map(hash_file, files)).encode())


def _digest(pieces: Iterable[bytes]) -> str:
    state = hashlib.blake2b(digest_size=20)
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()

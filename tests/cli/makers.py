"""Small pictures, and how a run of the command ended."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image


class Ended(NamedTuple):
    """How a run of the command ended."""

    code: int
    out: str
    err: str
    raw: bytes


Run = Callable[..., Ended]


def make_photo(path: Path, size: tuple[int, int] = (72, 56), seed: int = 0) -> Path:
    """Write a small picture with some structure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def pixels(path: Path | bytes) -> np.ndarray:
    """A picture's pixels."""
    return np.asarray(Image.open(io.BytesIO(path) if isinstance(path, bytes) else path))


def names(folder: Path = Path()) -> list[str]:
    """All files below a folder, hidden ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

"""Synthesized samples kept on disk, so that each is made once."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from unsmear.data.synthesis import BlurSynthesizer
from unsmear.data.triple import BlurTriple
from unsmear.errors import InputError

# Raised whenever the synthesizer makes other samples from the same inputs.
SAMPLES_VERSION = 1


class SamplePool(Dataset[BlurTriple]):
    """A map-style dataset of `count` samples, synthesized on first use and read ever after.

    Several processes may use one folder at once: a file appears under its name only when it is
    whole, and two processes that make the same sample make the same bytes. Samples lie in a
    sub-folder named after everything that decides them, so that a changed configuration, seed or
    library never meets old samples.

    Args:
        folder: where the samples are kept; 7 * size * size bytes each.
        synthesizer: makes the samples.
        count: number of samples.

    Raises:
        InputError: if `count` is below 1.
    """

    def __init__(self, folder: str | Path, synthesizer: BlurSynthesizer, count: int) -> None:
        if count < 1:
            raise InputError(f"count={count}: a pool holds 1 sample or more")
        self.synthesizer = synthesizer
        self.count = count
        about = describe_samples(synthesizer)
        self.folder = Path(folder) / hashlib.sha256(about.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "about.json", lambda file: file.write(about.encode()))

    def __len__(self) -> int:
        """Give the number of samples."""
        return self.count

    def __getitem__(self, index: int) -> BlurTriple:
        """Give one sample: float32 pictures in [0, 1], see `BlurTriple`."""
        return bytes_to_unit(self.bytes_of(index))

    def bytes_of(self, index: int) -> BlurTriple:
        """Give one sample as it is stored.

        Args:
            index: 0 to count - 1.

        Returns:
            uint8 pictures from 0 to 255 and a mask of 0 and 1, read from disk as they are used.

        Raises:
            IndexError: if there is no such sample.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of a pool of {self.count}")
        path = self.folder / f"{index:07d}.npy"
        planes = self._read(path)
        if planes is None:
            planes = _planes(self.synthesizer.sample(index))
            write_whole(path, lambda file: np.save(file, planes))
        stored = torch.from_numpy(planes)
        return BlurTriple(stored[:3], stored[3:6], stored[6:])

    def _read(self, path: Path) -> NDArray[np.uint8] | None:
        """Map a stored sample into memory; None when it is missing or broken."""
        side = self.synthesizer.size
        try:
            # Copy-on-write: torch wants writable memory, and nobody may write to the file.
            planes = np.load(path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        whole = planes.shape == (7, side, side) and planes.dtype == np.uint8
        return planes if whole else None


def describe_samples(synthesizer: BlurSynthesizer) -> str:
    """Tell all that decides what a synthesizer's samples are, as JSON."""
    described = {
        "version": SAMPLES_VERSION,
        "config": synthesizer.config.describe(),
        "seed": synthesizer.seed,
        "size": synthesizer.size,
        "library": synthesizer.library.fingerprint,
    }
    return json.dumps(described, indent=1, sort_keys=True)


def bytes_to_unit(triple: BlurTriple) -> BlurTriple:
    """Turn uint8 pictures from 0 to 255 into float32 in [0, 1]; a mask of 0 and 1 stays that."""
    blurred, sharp, blur_mask = triple
    return BlurTriple(blurred.float() / 255, sharp.float() / 255, blur_mask.float())


def _planes(triple: BlurTriple) -> NDArray[np.uint8]:
    """Stack a sample to [7, S, S] bytes: blurred, sharp, mask."""
    pictures = torch.cat([triple.blurred, triple.sharp]).mul(255).round()
    return torch.cat([pictures, triple.blur_mask]).to(torch.uint8).cpu().numpy()


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a passing name and give it its own in one step."""
    passing = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with passing.open("wb") as file:
            write(file)
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)

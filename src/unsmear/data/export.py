"""Synthesized pairs as pictures on disk, for eyes and for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from unsmear.data.pool import describe_samples, write_whole
from unsmear.data.synthesis import BlurSynthesizer
from unsmear.errors import InputError, OutputError
from unsmear.images import Picture, write_picture

ABOUT = "about.json"
MANIFEST = "manifest.jsonl"


def export_samples(
    synthesizer: BlurSynthesizer, folder: str | Path, count: int
) -> Iterator[dict[str, Any]]:
    """Write samples as NAME_blur.png, NAME_sharp.png and NAME_mask.png.

    Beside them, ``manifest.jsonl`` tells a pair a line, and ``about.json`` all that decides what
    the samples are. Pairs that an earlier run of the same kind finished are left as they are, so
    that a stopped run goes on and a larger `count` adds to what is there.

    Args:
        synthesizer: makes the samples.
        folder: made where it is missing.
        count: pairs in the folder when all is done.

    Yields:
        A line of the manifest for each pair, when it is there: `name`, `seed` and `index` of the
        sample, its `kind` (one of `KINDS`, as drawn), `size` in pixels, and `blurred`, the share
        of its pixels that the mask marks.

    Raises:
        InputError: `count` is below 1, or material cannot be read.
        OutputError: the folder holds other things, or cannot be written.
    """
    if count < 1:
        raise InputError(f"count={count}: ask for 1 pair or more")
    folder = Path(folder)
    _claim(folder, describe_samples(synthesizer))
    manifest = folder / MANIFEST
    done = _finished(manifest)
    # A run that was killed may have left half a line.
    write_whole(manifest, lambda file: file.writelines(_line(row) for row in done.values()))
    with manifest.open("ab") as lines:
        for index in range(count):
            name = f"{index:07d}"
            row = done.get(name) or _write_pair(synthesizer, folder, name, index)
            if name not in done:
                lines.write(_line(row))
                lines.flush()
            yield row


def _claim(folder: Path, about: str) -> None:
    """Make the folder ours, or make sure that it is."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: give a folder's name")
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / ABOUT
    if told.is_file() and told.read_text(encoding="utf-8") == about:
        return
    there = {path.name for path in folder.iterdir()}
    if not there or (there == {ABOUT, MANIFEST} and not (folder / MANIFEST).stat().st_size):
        write_whole(told, lambda file: file.write(about.encode()))  # no pair came of a run before
        return
    what = "holds samples of another seed, size or material" if told.is_file() else "is not empty"
    raise OutputError(f"{folder} {what}: choose another folder")


def _finished(manifest: Path) -> dict[str, dict[str, Any]]:
    """The lines of pairs that are there as a whole, by name."""
    if not manifest.is_file():
        return {}
    rows = {}
    for line in manifest.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, dict) or "name" not in row:
            continue
        if all((manifest.parent / name).is_file() for name in _files(row["name"])):
            rows[row["name"]] = row
    return rows


def _files(name: str) -> tuple[str, str, str]:
    """The files of a pair: blurred, sharp, mask."""
    return f"{name}_blur.png", f"{name}_sharp.png", f"{name}_mask.png"


def _write_pair(
    synthesizer: BlurSynthesizer, folder: Path, name: str, index: int
) -> dict[str, Any]:
    sample = synthesizer.sample(index)
    for file, picture in zip(_files(name), sample, strict=True):
        # What is there without a line in the manifest is the same pair, from a run that was cut.
        write_picture(Picture.from_array(_to_bytes(picture)), folder / file, overwrite=True)
    return {
        "name": name,
        "seed": synthesizer.seed,
        "index": index,
        "kind": synthesizer.kind_of(index),
        "size": synthesizer.size,
        "blurred": round(float(sample.blur_mask.mean()), 4),
    }


def _line(row: dict[str, Any]) -> bytes:
    return f"{json.dumps(row)}\n".encode()


def _to_bytes(picture: Tensor) -> np.ndarray:
    """[C, H, W] in [0, 1] -> [H, W, C] from 0 to 255."""
    return picture.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()

"""GoPro: frames of high-speed videos, averaged to a blur of the whole picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unsmear.data.sources.files import FileSource, PairFiles, by_name, pictures_below
from unsmear.data.sources.splits import split_folders
from unsmear.errors import InputError

BLURS = ("blur", "blur_gamma")


def is_gopro(root: Path) -> bool:
    """Whether a folder looks like GoPro."""
    return any(
        (sequence / "sharp").is_dir() and any((sequence / blur).is_dir() for blur in BLURS)
        for folder in split_folders(root, None).values()
        for sequence in folder.iterdir()
    )


def open_gopro(root: Path, split: str | None = None, blur: str = "blur") -> FileSource:
    """Open ``{train,test}/SEQUENCE/{blur,blur_gamma,sharp}/NNNNNN.png``; it has no masks.

    Args:
        root: the data set, or a split of it.
        split: "train" or "test"; None takes both.
        blur: "blur" averages linear light, "blur_gamma" the frames as they were encoded.

    Raises:
        InputError: nothing of the kind is there.
    """
    if blur not in BLURS:
        raise InputError(f"blur={blur!r}: GoPro has {' and '.join(BLURS)}")
    folders = split_folders(root, split)
    pairs = [pair for prefix, folder in folders.items() for pair in _pairs(prefix, folder, blur)]
    if not pairs:
        raise InputError(f"{root} holds no GoPro: expected train/SEQUENCE/{blur} and sharp")
    return FileSource("gopro", pairs)


def _pairs(prefix: str, folder: Path, blur: str) -> Iterator[PairFiles]:
    for sequence in sorted(path for path in folder.iterdir() if (path / "sharp").is_dir()):
        kinds = (sequence / blur, sequence / "sharp")
        blurred, sharp = (by_name(pictures_below(kind), kind) for kind in kinds)
        for frame in blurred.keys() | sharp.keys():
            twins = (
                files.get(frame, kind / f"{frame}.png")
                for kind, files in zip(kinds, (blurred, sharp), strict=True)
            )
            yield PairFiles(f"{prefix}{sequence.name}/{frame}", *twins)

"""RealBlur-J and RealBlur-R: shaken cameras, the pairs named by list files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from unsmear.data.sources.files import FileSource, PairFiles
from unsmear.data.sources.splits import SPLITS
from unsmear.errors import InputError

VARIANTS = ("J", "R")


def is_realblur(root: Path) -> bool:
    """Whether a folder holds list files of RealBlur."""
    return any(_list_file(root, each, split) for each in VARIANTS for split in SPLITS)


def open_realblur(root: Path, split: str | None = None, variant: str | None = None) -> FileSource:
    """Open what ``RealBlur_{J,R}_{train,test}_list.txt`` name; it has no masks.

    Each line holds the path of the sharp picture and that of the blurred one, both from the data
    set's folder. Evaluation aligns results first, as the papers do: `align_restored`.

    Args:
        root: the folder with the list files, or one list file.
        split: "train" or "test"; None takes both.
        variant: "J" for the camera's JPEGs, "R" for raw pictures; None takes J where its lists
            are, else R.

    Raises:
        InputError: a list file is missing or holds something else.
    """
    if variant not in (None, *VARIANTS):
        raise InputError(f"variant={variant!r}: RealBlur has {' and '.join(VARIANTS)}")
    if root.is_file():
        return FileSource("realblur", _listed(root, root.parent, ""))
    splits = [split] if split else SPLITS
    found = (_list_files(root, each, splits) for each in ([variant] if variant else VARIANTS))
    lists = next(filter(None, found), None)
    if lists is None:
        wanted = f"RealBlur_{variant or VARIANTS[0]}_{split or 'test'}_list.txt"
        raise InputError(f"{root} holds no list {wanted}: name the folder that has it, or the list")
    return FileSource(
        "realblur",
        [
            pair
            for each, path in lists.items()
            for pair in _listed(path, root, "" if split else f"{each}/")
        ],
    )


def _list_files(root: Path, variant: str, splits: Iterable[str]) -> dict[str, Path]:
    """The list files that are there, by split."""
    found = {split: _list_file(root, variant, split) for split in splits}
    return {split: path for split, path in found.items() if path is not None}


def _list_file(root: Path, variant: str, split: str) -> Path | None:
    """The list file in a folder or in one of its sub-folders."""
    name = f"RealBlur_{variant}_{split}_list.txt"
    return next((path for pattern in (name, f"*/{name}") for path in root.glob(pattern)), None)


def _listed(path: Path, base: Path, prefix: str) -> Iterator[PairFiles]:
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        columns = line.split()
        if not columns:
            continue
        if len(columns) < 2:
            raise InputError(f"{path} has the line {line!r}: give a sharp and a blurred path")
        sharp, blurred = (base / column for column in columns[:2])
        # SCENE/blur/blur_7.png; the scene tells apart what is called alike.
        scene = blurred.parent.parent.name
        yield PairFiles(f"{prefix}{scene}/{blurred.stem}", blurred, sharp)

"""The folders ``train`` and ``test`` that most data sets are cut into."""

from __future__ import annotations

from pathlib import Path

from unsmear.errors import InputError

SPLITS = ("train", "test")


def split_folders(root: Path, split: str | None) -> dict[str, Path]:
    """Find the folders to search, by what the names of their pairs begin with.

    Args:
        root: the data set, or one split of it.
        split: the wanted one; None takes all there are.

    Returns:
        ``{"": folder}`` for one split, ``{"train/": folder, "test/": folder}`` for all, and
        ``{"": root}`` where there are no splits.

    Raises:
        InputError: the wanted split is not there.
    """
    if split is not None:
        folder = root if root.name == split else root / split
        if not folder.is_dir():
            raise InputError(f"{root} has no folder {split}: choose another split, or leave it out")
        return {"": folder}
    present = {f"{name}/": root / name for name in SPLITS if (root / name).is_dir()}
    return present or {"": root}


def split_of(name: str) -> str:
    """The split that a pair's name begins with; empty where it names none."""
    first = name.partition("/")[0]
    return first if first in SPLITS and "/" in name else ""

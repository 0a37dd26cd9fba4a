"""HIDE: people in motion, the sharp pictures of both splits in one folder."""

from __future__ import annotations

from pathlib import Path

from unsmear.data.sources.files import FileSource, PairFiles, by_name, pictures_below
from unsmear.data.sources.splits import SPLITS, split_folders
from unsmear.errors import InputError

SHARP = "GT"


def is_hide(root: Path) -> bool:
    """Whether a folder looks like HIDE, or like a split of it."""
    if root.name in SPLITS:
        return (root.parent / SHARP).is_dir()
    return (root / SHARP).is_dir() and any((root / split).is_dir() for split in SPLITS)


def open_hide(root: Path, split: str | None = None) -> FileSource:
    """Open ``train/*.png`` and ``test/{test-close-ups,test-long-shot}/*.png`` with ``GT/*.png``.

    Args:
        root: the data set, or a split of it.
        split: "train" or "test"; None takes both.

    Raises:
        InputError: nothing of the kind is there.
    """
    sharp = next((top / SHARP for top in (root, root.parent) if (top / SHARP).is_dir()), None)
    if sharp is None:
        raise InputError(f"{root} holds no HIDE: expected GT beside train and test")
    sharps = by_name(pictures_below(sharp), sharp)
    pairs = [
        PairFiles(
            prefix + path.relative_to(folder).with_suffix("").as_posix(),
            path,
            sharps.get(path.stem, sharp / path.name),
        )
        for prefix, folder in split_folders(root, split).items()
        for path in pictures_below(folder)
        if path.parent != sharp
    ]
    if not pairs:
        raise InputError(f"{root} holds no HIDE: its folders train and test have no pictures")
    return FileSource("hide", pairs)

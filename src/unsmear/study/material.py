"""What a study is about: the same photos, restored by several models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from unsmear.errors import InputError
from unsmear.images import SUPPORTED_SUFFIXES


class Photo(NamedTuple):
    """A photo with its restorations.

    Attributes:
        name: path below the folders, without a suffix.
        restorations: a file for each model.
        blurred: the photo as it was; None where it is not to be shown.
    """

    name: str
    restorations: Mapping[str, Path]
    blurred: Path | None = None


def named_folders(words: Iterable[str]) -> dict[str, Path]:
    """Read "PATH" and "NAME=PATH": a folder is called by its own name unless another is given.

    Raises:
        InputError: two folders have one name, or there are fewer than two.
    """
    folders: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not name or Path(word).is_dir():
            name, path = Path(word).resolve().name, word
        if name in folders:
            raise InputError(f"two folders are called {name}: name one as OTHER={path}")
        folders[name] = Path(path)
    if len(folders) < 2:
        raise InputError("a study compares two folders or more, one for each model")
    return folders


def gather_photos(
    folders: Mapping[str, Path], blurred: Path | None = None
) -> tuple[list[Photo], list[str]]:
    """Find the photos that every model restored.

    Files belong together when their paths below the folders are equal but for the suffix.

    Args:
        folders: of each model.
        blurred: folder of the photos as they were.

    Returns:
        The photos, sorted by name, and the names of those that some folder lacks.

    Raises:
        InputError: a folder is none, leads outside itself, holds two files of one name, or no
            photo is in all.
    """
    found = {model: _pictures_below(folder) for model, folder in folders.items()}
    inputs = {} if blurred is None else _pictures_below(blurred)
    trees = [*found.values(), *([inputs] if blurred is not None else [])]
    common = set(trees[0]).intersection(*trees[1:])
    if not common:
        raise InputError("no photo is in all the folders: files must have the same names in each")
    photos = [
        Photo(name, {model: files[name] for model, files in found.items()}, inputs.get(name))
        for name in sorted(common)
    ]
    return photos, sorted(set().union(*found.values()) - common)


def _pictures_below(folder: Path) -> dict[str, Path]:
    """Name to file of all pictures in a folder and below it, hidden ones left out."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the folder of one model's restorations")
    root, files = folder.resolve(), dict[str, Path]()
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        if hidden or path.suffix.lower() not in SUPPORTED_SUFFIXES or not path.is_file():
            continue
        if not path.resolve().is_relative_to(root):
            raise InputError(f"{path} is a link out of its folder: put the file itself there")
        name = below.with_suffix("").as_posix()
        if name in files:
            raise InputError(f"{files[name]} and {path} are the same photo: remove one of them")
        files[name] = path
    return files

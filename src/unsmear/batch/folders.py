"""A folder of photos, walked while it is worked on: names of one folder at a time are held."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unsmear.batch.jobs import is_picture_name, is_result
from unsmear.errors import InputError


@dataclass(frozen=True)
class Folder:
    """A folder that the user named.

    Attributes:
        path: as the user wrote it.
        top: what its photos' results are put below, under an output folder.
        recursive: all that is below it counts too.
        left_out: resolved folders that are not entered, such as the one for results.
    """

    path: Path
    top: Path
    recursive: bool
    left_out: frozenset[Path]

    @cached_property
    def root(self) -> Path:
        """The folder itself, links resolved."""
        return self.path.resolve()

    def walk(
        self, unread: Callable[[OSError], object] | None = None
    ) -> Iterator[tuple[Path, list[str]]]:
        """Folders and the names of the photos in each, in order; hidden ones and results not.

        Args:
            unread: is told of each folder that cannot be read; it is passed over.
        """
        for current, folders, files in os.walk(self.path, onerror=unread):
            here = Path(current)
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and (here / name).resolve() not in self.left_out
            )
            if not self.recursive:
                folders.clear()
            names = _photo_names(files)
            if names:
                yield here, names

    def names_in(self, below: Path) -> list[str]:
        """The names of the photos that :meth:`walk` finds in a folder below this one, in order."""
        here = self.root / below
        return _photo_names(_entries(here)[1]) if self.enters(here) else []

    def holds(self, photo: Path) -> bool:
        """Whether :meth:`walk` comes by a photo, should it be there; a path without links."""
        return _is_photo_name(photo.name) and self.enters(photo.parent)

    def enters(self, folder: Path) -> bool:
        """Whether :meth:`walk` comes by a folder; a path without links."""
        if not folder.is_relative_to(self.root):
            return False
        below = folder.relative_to(self.root).parts
        if (below and not self.recursive) or any(name.startswith(".") for name in below):
            return False
        return self.left_out.isdisjoint([folder, *folder.parents][: len(below)])

    def nothing_in(self) -> InputError:
        """What to say when there is no photo."""
        deeper = not self.recursive and _entries(self.path)[0]
        hint = ": use -r to take the folders in it too" if deeper else ""
        return InputError(f"{self.path} holds no pictures{hint}.")


class Folders:
    """The folders of one run, found by what lies in them however many they are."""

    def __init__(self, folders: Iterable[Folder]) -> None:
        self._by_root: dict[Path, Folder] = {}
        for folder in folders:
            self._by_root.setdefault(folder.root, folder)

    def holding(self, photo: Path) -> Folder | None:
        """The folder whose walk comes by a photo, should it be there."""
        real = Path(os.path.realpath(photo))
        return next((folder for folder in self._above(real) if folder.holds(real)), None)

    def around(self, folder: Folder) -> Folder | None:
        """Another folder whose walk comes by this one, or that is the same."""
        if self._by_root[folder.root] != folder:
            return self._by_root[folder.root]
        return next((each for each in self._above(folder.root) if each.enters(folder.root)), None)

    def _above(self, path: Path) -> Iterator[Folder]:
        return (self._by_root[each] for each in path.parents if each in self._by_root)


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder; none where it cannot be read."""
    return next(((folders, files) for _, folders, files in os.walk(folder)), ([], []))


def _photo_names(files: list[str]) -> list[str]:
    return sorted(filter(_is_photo_name, files))


def _is_photo_name(name: str) -> bool:
    path = Path(name)
    return is_picture_name(path) and not name.startswith(".") and not is_result(path)

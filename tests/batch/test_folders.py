"""Folders: in order, lazily, and knowing what is theirs without looking."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unsmear.batch.folders import Folder, Folders

from .makers import make_file

FILES = (
    "in/b.jpg",
    "in/a.PNG",
    "in/notes.txt",
    "in/.hidden.png",
    "in/a.unsmeared.png",
    "in/z/c.tif",
    "in/m/n/d.bmp",
    "in/.git/e.png",
    "in/out/f.png",
    "in/m/out/g.png",
)


def folder(path: str = "in", *, recursive: bool = True, left_out: tuple[str, ...] = ()) -> Folder:
    return Folder(
        Path(path), Path(), recursive, frozenset(Path(each).resolve() for each in left_out)
    )


@pytest.fixture(autouse=True)
def files() -> None:
    for name in FILES:
        make_file(name)


def photos(of: Folder) -> list[str]:
    return [str(here / name) for here, names in of.walk() for name in names]


def test_photos_in_order_without_hidden_ones_and_results() -> None:
    assert photos(folder(recursive=False)) == ["in/a.PNG", "in/b.jpg"]
    assert photos(folder(left_out=("in/out",))) == [
        "in/a.PNG",
        "in/b.jpg",
        "in/m/n/d.bmp",
        "in/m/out/g.png",
        "in/z/c.tif",
    ]


@pytest.mark.parametrize("recursive", [True, False])
def test_it_holds_what_its_walk_comes_by_and_nothing_else(recursive: bool) -> None:
    of = folder(recursive=recursive, left_out=("in/out",))
    found = photos(of)
    assert found == sorted(name for name in FILES if of.holds(Path(name).resolve()))
    assert not of.holds(Path("elsewhere/a.png").resolve())


def test_a_folder_is_listed_when_its_turn_comes() -> None:
    walk = folder().walk()
    next(walk)
    make_file("in/z/late.png")
    assert ["c.tif", "late.png"] in [names for _, names in walk]


def test_a_folder_that_cannot_be_listed_is_named() -> None:
    unread: list[OSError] = []
    walk = folder().walk(unread.append)
    next(walk)
    shutil.rmtree("in/m")
    assert [name for _, names in walk for name in names] == ["f.png", "c.tif"]
    assert [error.filename for error in unread] == ["in/m"]


def test_links_to_folders_are_not_followed() -> None:
    Path("in/loop").symlink_to(Path("in").resolve())
    assert not any("loop" in name for name in photos(folder()))


def test_one_of_many_folders_is_found_by_what_lies_in_it() -> None:
    outer, inner, other = folder(), folder("in/m"), folder("in/m/n", recursive=False)
    folders = Folders([outer, inner, other])
    assert folders.holding(Path("in/b.jpg")) == outer
    assert folders.holding(Path("in/m/x.png")) in (outer, inner)
    assert folders.holding(Path("x.png")) is None
    assert folders.around(outer) is None
    assert folders.around(other) in (outer, inner)
    assert Folders([folder(recursive=False), inner]).around(inner) is None


def test_an_empty_folder_says_whether_to_look_deeper() -> None:
    make_file("bare/below/a.png")
    assert "use -r" in str(folder("bare", recursive=False).nothing_in())
    assert "use -r" not in str(folder("bare").nothing_in())

from __future__ import annotations

from pathlib import Path

import pytest

from unsmear.errors import InputError
from unsmear.study import gather_photos, named_folders

from .makers import MODELS, make_restorations


def test_folders_are_called_by_their_names_or_by_given_ones(tmp_path: Path) -> None:
    (tmp_path / "odd=name").mkdir()
    words = [f"{tmp_path}/a", f"best={tmp_path}/b", f"{tmp_path}/odd=name"]
    named = named_folders(words)
    assert list(named) == ["a", "best", "odd=name"]
    assert named["best"] == tmp_path / "b"
    with pytest.raises(InputError, match="called a"):
        named_folders(["x/a", "y/a"])
    with pytest.raises(InputError, match="two folders or more"):
        named_folders(["a"])


def test_photos_are_matched_by_name_but_for_the_suffix(tmp_path: Path) -> None:
    folders = make_restorations(tmp_path, photos=("a", "in/b"))
    (folders["ours"] / "a.png").rename(folders["ours"] / "a.bmp")
    (folders["theirs"] / "in" / "more.png").write_bytes(b"")
    photos, left_out = gather_photos(folders)
    assert [photo.name for photo in photos] == ["a", "in/b"]
    assert photos[0].restorations["ours"] == folders["ours"] / "a.bmp"
    assert set(photos[1].restorations) == set(MODELS)
    assert left_out == ["in/more"]
    assert photos[0].blurred is None


def test_the_photos_as_they_were(tmp_path: Path) -> None:
    folders = make_restorations(tmp_path)
    blurred = make_restorations(tmp_path / "more", ("input",), ("a", "b", "c"))["input"]
    photos, left_out = gather_photos(folders, blurred)
    assert [photo.name for photo in photos] == ["a", "b", "c"]
    assert photos[0].blurred == blurred / "a.png"
    assert left_out == ["d"]


def test_refusals(tmp_path: Path) -> None:
    folders = make_restorations(tmp_path, ("ours", "theirs"), ("a",))
    with pytest.raises(InputError, match="is no folder"):
        gather_photos(folders | {"none": tmp_path / "none"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photo is in all"):
        gather_photos(folders | {"empty": tmp_path / "empty"})
    (folders["ours"] / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="the same photo"):
        gather_photos(folders)


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    folders = make_restorations(tmp_path, ("ours", "theirs"), ("a",))
    (tmp_path / "secret.png").write_bytes(b"")
    (folders["ours"] / "b.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="link out of its folder"):
        gather_photos(folders)

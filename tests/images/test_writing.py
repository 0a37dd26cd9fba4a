from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsmear.errors import OutputError
from unsmear.images import (
    SUPPORTED_SUFFIXES,
    Picture,
    encode_picture,
    read_picture,
    write_picture,
    writing,
)

from .makers import pillow, scene


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(pillow(Image.fromarray(scene()), "PNG"))
    return path


@pytest.fixture
def changed(source: Path) -> Picture:
    picture = read_picture(source)
    return picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", SUPPORTED_SUFFIXES)
def test_suffix_decides(suffix: str, changed: Picture, tmp_path: Path) -> None:
    for spelling in (suffix, suffix.upper()):
        path = tmp_path / f"out{spelling}"
        write_picture(changed, path, overwrite=True)
        assert read_picture(path).format == SUPPORTED_SUFFIXES[suffix]


def test_unchanged_is_copied(source: Path, tmp_path: Path) -> None:
    write_picture(read_picture(source), tmp_path / "copy.png", input_path=source)
    assert (tmp_path / "copy.png").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["photo", "photo.xyz", "photo.gif", "photo.heic"])
def test_unknown_suffix(name: str, changed: Picture, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.jpg, \.jpeg, .*\.webp or \.bmp") as caught:
        write_picture(changed, tmp_path / name)
    assert name in str(caught.value)
    assert names(tmp_path) == ["photo.png"]


def test_unknown_format(changed: Picture) -> None:
    with pytest.raises(OutputError, match="'gif' is not a format unsmear writes"):
        encode_picture(changed, "gif")
    for spelling in ("jpg", ".JPG", "JPEG", "jpeg"):
        assert encode_picture(changed, spelling).startswith(b"\xff\xd8")


def test_existing_output(changed: Picture, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        write_picture(changed, path)
    assert path.read_bytes() == b"precious"
    write_picture(changed, path, overwrite=True)
    np.testing.assert_array_equal(read_picture(path).rgb, changed.rgb)


def test_the_input_is_recognised_however_it_is_spelt(
    changed: Picture, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source.read_bytes()
    (tmp_path / "below").mkdir()
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    monkeypatch.chdir(tmp_path)
    for spelling in (
        source, tmp_path / "link.png", tmp_path / "hard.png", Path("photo.png"),
        tmp_path / "below" / ".." / "photo.png",
    ):  # fmt: skip
        with pytest.raises(OutputError, match="is the input itself"):
            write_picture(changed, spelling, overwrite=True, input_path=source)
    assert source.read_bytes() == before
    assert names(tmp_path) == ["below", "hard.png", "link.png", "photo.png"]


def test_in_place_keeps_links_and_mode(changed: Picture, source: Path, tmp_path: Path) -> None:
    source.chmod(0o640)
    link = tmp_path / "link.png"
    link.symlink_to(source.name)
    write_picture(changed, link, input_path=source, in_place=True)
    assert link.is_symlink()
    np.testing.assert_array_equal(read_picture(source).rgb, changed.rgb)
    assert stat.S_IMODE(source.stat().st_mode) == 0o640


def test_in_place_keeps_the_owner(
    changed: Picture, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as of the photos of a user for whom root does it."""
    given: list[tuple[Path, int, int]] = []

    def chown(path: Path, user: int, group: int) -> None:
        given.append((path, user, group))
        raise PermissionError  # as for a user who is not root: the file is then theirs

    monkeypatch.setattr(os, "chown", chown)
    before = source.stat()
    write_picture(changed, source, input_path=source, in_place=True)
    assert [each[1:] for each in given] == [(before.st_uid, before.st_gid)]
    assert given[0][0] != source
    assert names(tmp_path) == ["photo.png"]


def test_a_private_photo_is_private_while_it_is_written(
    changed: Picture, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.chmod(0o600)
    seen: list[int] = []

    def look(_: int) -> None:
        seen.extend(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(".*.tmp"))

    monkeypatch.setattr(os, "fsync", look)
    write_picture(changed, source, input_path=source, in_place=True)
    assert seen == [0o600]


def test_in_place_keeps_labels_and_not_the_time(changed: Picture, source: Path) -> None:
    """Labels, or tags, of a file manager are extended attributes."""
    if not hasattr(os, "setxattr"):
        pytest.skip("this system has other ways")
    try:
        os.setxattr(source, "user.xdg.tags", b"cats,2024")
    except OSError:
        pytest.skip("this disk has no extended attributes")
    os.utime(source, (1, 1))
    write_picture(changed, source, input_path=source, in_place=True)
    assert os.getxattr(source, "user.xdg.tags") == b"cats,2024"
    assert source.stat().st_mtime > 1e9


@pytest.mark.parametrize("in_place", [True, False])
def test_a_protected_file_is_not_replaced(
    in_place: bool,
    changed: Picture,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as a photo that was protected in the camera; a folder's permissions would allow it."""
    # Nothing is protected from root, as whom tests may run.
    monkeypatch.setattr(os, "access", lambda path, _: bool(path.stat().st_mode & 0o222))
    before = source.read_bytes()
    source.chmod(0o444)
    link = tmp_path / "link.png"
    link.symlink_to(source)
    for path in (source, link):
        with pytest.raises(OutputError, match=f"{path} is write-protected"):
            write_picture(
                changed, path, overwrite=True, in_place=in_place,
                input_path=source if in_place else None,
            )  # fmt: skip
    assert source.read_bytes() == before
    assert names(tmp_path) == ["link.png", "photo.png"]


def test_in_place_keeps_the_format_that_the_content_has(source: Path, tmp_path: Path) -> None:
    rgba = np.dstack([scene(), np.arange(53, dtype=np.uint8)[None].repeat(37, axis=0)])
    wrong = tmp_path / "wrong.jpg"
    wrong.write_bytes(pillow(Image.fromarray(rgba), "PNG"))
    picture = read_picture(wrong)
    touched = np.ones((37, 53), bool)
    write_picture(
        picture.with_rgb(255 - picture.rgb, touched), wrong, input_path=wrong, in_place=True
    )
    assert read_picture(wrong).format == "PNG"
    np.testing.assert_array_equal(np.asarray(Image.open(wrong))[..., 3], rgba[..., 3])


def test_in_place_is_no_permission_to_overwrite_others(
    changed: Picture, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.png").write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        write_picture(changed, tmp_path / "other.png", input_path=source, in_place=True)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_new_files_follow_the_umask(changed: Picture, tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        write_picture(changed, tmp_path / "out.png")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out.png").stat().st_mode) == 0o666 & ~umask


def test_missing_folder(changed: Picture, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"the folder {tmp_path / 'nowhere'} does not exist"):
        write_picture(changed, tmp_path / "nowhere" / "out.png")


def test_folder_as_file_and_file_as_folder(changed: Picture, source: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_picture(changed, tmp_path / "folder.png", overwrite=True)
    with pytest.raises(OutputError, match="does not exist"):
        write_picture(changed, source / "out.png")
    with pytest.raises(OutputError):
        write_picture(changed, tmp_path / ("n" * 300 + ".png"))
    with pytest.raises(OutputError):
        write_picture(changed, tmp_path / "a\0b.png")
    (tmp_path / "ring.png").symlink_to(tmp_path / "ring.png")
    with pytest.raises(OutputError):
        write_picture(changed, tmp_path / "ring.png")


def test_unwritable_folder(
    changed: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:  # root may write everywhere
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(writing.os, "open", refuse)
    with pytest.raises(OutputError, match=r"out.png cannot be written \(Permission denied\)"):
        write_picture(changed, tmp_path / "out.png")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere"
)
def test_unwritable_folder_for_real(changed: Picture, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(0o555)
    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(changed, folder / "out.png")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_nothing_is_left_of_a_failed_write(
    changed: Picture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: BaseException,
) -> None:
    def fail(*_: object) -> None:
        assert len(names(tmp_path)) == 3  # photo, out and the temporary
        raise error

    (tmp_path / "out.png").write_bytes(b"precious")
    monkeypatch.setattr(*((writing.os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    wanted = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(wanted):
        write_picture(changed, tmp_path / "out.png", overwrite=True)
    assert names(tmp_path) == ["out.png", "photo.png"]
    assert (tmp_path / "out.png").read_bytes() == b"precious"


def test_what_a_format_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    wide = Picture.from_array(np.zeros((1, 70000), np.uint8))
    with pytest.raises(OutputError, match="JPEG ends at 65500"):
        write_picture(wide, tmp_path / "out.jpg")
    assert names(tmp_path) == []

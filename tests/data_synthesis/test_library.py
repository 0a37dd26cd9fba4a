from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsmear.data import MediaLibrary
from unsmear.errors import InputError


def halves(width: int, height: int) -> Image.Image:
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        MediaLibrary.from_folders([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no photos"):
        MediaLibrary.from_folders([tmp_path])


def test_excluding_everything_is_an_error(material: Path) -> None:
    with pytest.raises(InputError, match="no photos left"):
        MediaLibrary.from_folders([material / "stills"], exclude={"a.png", "b.png", "c.png"})


def test_exclude_and_only_choose_by_name(material: Path) -> None:
    folders = [material / "stills"], [material / "objects"]
    rest = MediaLibrary.from_folders(*folders, exclude={"a.png", "disc.png"})
    assert [path.name for path in rest.stills] == ["b.png", "c.png"]
    assert [each.path.name for each in rest.objects] == ["square.png"]
    kept = MediaLibrary.from_folders(*folders, only={"a.png", "disc.png"})
    assert [name for name, _ in kept.fingerprint] == ["a.png", "disc.png"]


def test_manifest_names_the_cut_sides(library: MediaLibrary) -> None:
    sides = {each.path.name: each.cut_sides for each in library.objects}
    assert sides == {"disc.png": frozenset(), "square.png": frozenset("B")}


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    photo = halves(80, 40)
    exif = photo.getexif()
    exif[0x0112] = 6  # turned by a quarter: the camera's left is the picture's top
    photo.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    library = MediaLibrary.from_folders([tmp_path])
    upright = library.still(library.stills[0])
    assert upright.shape == (80, 40, 3)
    assert upright[10, 20, 0] > 200
    assert upright[70, 20, 2] > 200


@pytest.mark.parametrize(("width", "wanted"), [(1800, 1800), (2100, 1050), (4000, 1600)])
def test_large_photos_are_reduced(tmp_path: Path, width: int, wanted: int) -> None:
    halves(width, 60).save(tmp_path / "wide.jpg")
    library = MediaLibrary.from_folders([tmp_path])
    assert library.still(library.stills[0]).shape[1] == wanted


def test_crops_are_sharp_where_the_photo_is(tmp_path: Path) -> None:
    pixels = np.full((200, 800, 3), 120, np.uint8)
    pixels[:, 400:] = np.random.default_rng(0).integers(0, 255, (200, 400, 3))
    Image.fromarray(pixels).save(tmp_path / "half_flat.png")
    library = MediaLibrary.from_folders([tmp_path])
    crops = [library.random_crop(np.random.default_rng(i), 100, 100) for i in range(20)]
    assert sum(crop.std() > 5 for crop in crops) >= 19
    assert all(crop.shape == (100, 100, 3) for crop in crops)
    crops = [
        library.random_crop(np.random.default_rng(i), 100, 100, textured=False) for i in range(20)
    ]
    assert sum(crop.std() < 5 for crop in crops) >= 4


def test_small_photo_is_enlarged(tmp_path: Path) -> None:
    halves(50, 40).save(tmp_path / "small.png")
    library = MediaLibrary.from_folders([tmp_path])
    assert library.random_crop(np.random.default_rng(0), 96, 96).shape == (96, 96, 3)


def test_cut_out_is_premultiplied_and_trimmed(tmp_path: Path) -> None:
    rgba = np.zeros((30, 40, 4), np.uint8)
    rgba[..., :3] = 255  # white hides behind the transparent pixels
    rgba[10:20, 5:25, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "ghost.png")
    halves(40, 40).save(tmp_path / "photo.png")
    library = MediaLibrary.from_folders([tmp_path], [tmp_path], only={"ghost.png", "photo.png"})
    pixels = library.cut_out(tmp_path / "ghost.png")
    assert pixels.shape == (10, 20, 4)
    assert np.unique(pixels).tolist() == [round(128 / 255 * 65535)]


def test_memory_is_bounded_and_left_behind_when_pickled(material: Path) -> None:
    library = MediaLibrary.from_folders([material / "stills"], cache_bytes=300_000)
    for path in library.stills:
        library.still(path)
    assert library._cached_bytes <= 300_000
    assert len(pickle.dumps(library)) < 5_000


def test_broken_photo_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    library = MediaLibrary.from_folders([tmp_path])
    with pytest.raises(InputError, match=r"broken\.jpg"):
        library.random_crop(np.random.default_rng(0), 10, 10)

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from unsmear.errors import InputError
from unsmear.images import Picture, encode_picture, read_picture

from .makers import ICC, alpha, exif_block, grey, scene


@pytest.mark.parametrize(
    ("array", "kind", "has_alpha"),
    [
        (grey(), "grey", False),
        (grey()[..., None], "grey", False),
        (np.dstack([grey(), alpha()]), "grey", True),
        (scene(), "rgb", False),
        (np.dstack([scene(), alpha()]), "rgb", True),
        (scene(dtype=np.uint16), "rgb", False),
    ],
)
def test_arrays_in(array: np.ndarray, kind: str, has_alpha: bool) -> None:
    picture = Picture.from_array(array)
    assert picture.kind == kind
    assert (picture.alpha is not None) == has_alpha
    assert picture.rgb.dtype == array.dtype
    again = read_picture(encode_picture(picture, "PNG"))
    np.testing.assert_array_equal(again.samples.values, picture.samples.values)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_arrays_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="the array"):
        Picture.from_array(array)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pillow_images_in_and_out(mode: str) -> None:
    image = Image.fromarray(grey(np.uint16)) if mode == "I;16" else None
    image = image or Image.fromarray(scene()).convert(mode)
    assert image.mode == mode
    image.info["icc_profile"] = ICC
    again = Picture.from_pil(image).to_pil()
    assert again.mode == mode
    assert again.tobytes() == image.tobytes()
    assert again.info["icc_profile"] == ICC
    assert again.getpalette() == image.getpalette()


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "PA", "RGBX"])
def test_other_pillow_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(scene()).convert("P" if mode == "PA" else "RGB").convert(mode)
    np.testing.assert_array_equal(Picture.from_pil(image).rgb, np.asarray(image.convert("RGB")))


def test_pillow_orientation_is_applied() -> None:
    image = Image.fromarray(scene())
    image.info["exif"] = b"Exif\0\0" + exif_block(6)
    picture = Picture.from_pil(image)
    np.testing.assert_array_equal(picture.rgb, np.rot90(scene(), -1))
    assert picture.metadata.orientation == 1
    assert picture.to_pil().getexif()[274] == 1


def test_pillow_refusals() -> None:
    with pytest.raises(InputError, match="floats"):
        Picture.from_pil(Image.fromarray(np.zeros((3, 3), np.float32)))
    with pytest.raises(InputError, match="16 bits"):
        Picture.from_pil(Image.fromarray(np.full((3, 3), 70000, np.int32)))


def test_pillow_transparency_is_kept() -> None:
    image = Image.fromarray(scene()).convert("P")
    image.info["transparency"] = 3
    samples = Picture.from_pil(image).samples
    assert samples.palette_alpha is not None
    assert np.flatnonzero(samples.palette_alpha == 0).tolist() == [3]
    image = Image.fromarray(scene())
    image.info["transparency"] = (1, 2, 3)
    assert Picture.from_pil(image).samples.key == (1, 2, 3)


def test_transparency_in_pillows_own_palette_is_kept() -> None:
    image = Image.fromarray(np.dstack([scene(), alpha()])).quantize(8)
    samples = Picture.from_pil(image).samples
    assert samples.palette_alpha is not None
    kept = samples.palette_alpha[samples.values]
    np.testing.assert_array_equal(kept, np.asarray(image.convert("RGBA"))[..., 3])


def test_arrays_of_the_other_byte_order() -> None:
    wide = scene(dtype=np.uint16)
    picture = Picture.from_array(wide.astype(wide.dtype.newbyteorder()))
    assert picture.rgb.dtype == np.uint16
    np.testing.assert_array_equal(picture.rgb, wide)


def test_changes_add_up() -> None:
    picture = Picture.from_array(scene())
    one, other = np.zeros((2, 37, 53), bool)
    one[0], other[5] = True, True
    twice = picture.with_rgb(255 - picture.rgb, one).with_rgb(255 - picture.rgb, other)
    assert twice.touched is not None
    np.testing.assert_array_equal(twice.touched, one | other)
    np.testing.assert_array_equal(twice.rgb[one | other], 255 - picture.rgb[one | other])
    np.testing.assert_array_equal(twice.rgb[~(one | other)], picture.rgb[~(one | other)])
    assert picture.touched is None
    np.testing.assert_array_equal(picture.rgb, scene())


def test_wrong_restored_arrays_are_refused() -> None:
    picture = Picture.from_array(scene())
    touched = np.ones((37, 53), bool)
    with pytest.raises(InputError, match="restored pixels are float32"):
        picture.with_rgb(picture.rgb.astype(np.float32), touched)
    with pytest.raises(InputError, match="restored pixels"):
        picture.with_rgb(picture.rgb[:-1], touched)
    with pytest.raises(InputError, match="touched map"):
        picture.with_rgb(picture.rgb, touched.astype(np.uint8))
    with pytest.raises(InputError, match="touched map"):
        picture.with_rgb(picture.rgb, touched[:-1])


def test_import_stays_light() -> None:
    program = "import sys, unsmear.images; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not {"torch", "tifffile", "imagecodecs", "scipy"} & set(done.stdout.decode().split())

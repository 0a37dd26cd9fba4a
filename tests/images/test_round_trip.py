"""Every kind of file, in and out: what nobody touched is what it was."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unsmear.images import Picture, encode_picture, read_picture

from .makers import CASES, LOSSLESS, Case


def touch_middle(picture: Picture) -> tuple[Picture, np.ndarray]:
    touched = np.zeros(picture.rgb.shape[:2], bool)
    touched[10:20, 8:30] = True
    restored = picture.rgb.copy()
    restored[touched] = picture.max_value - restored[touched] // 2
    return picture.with_rgb(restored, touched), touched


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading_says_what_the_file_is(case: Case) -> None:
    picture = read_picture(case.make())
    assert picture.format == case.format
    assert picture.kind == case.kind
    assert picture.samples.bit_depth == case.bit_depth
    assert (picture.alpha is not None) == case.has_alpha
    assert picture.rgb.dtype == (np.uint16 if case.bit_depth == 16 else np.uint8)
    assert picture.rgb.shape == (37, 53, 3)
    assert picture.max_value == (65535 if case.bit_depth == 16 else 255)


@pytest.mark.parametrize("case", [c for c in CASES if c.bit_depth <= 8], ids=str)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_pixels_are_those_another_reader_sees(case: Case) -> None:
    if case.name in ("tiff-planes", "tiff-zstd", "tiff-premultiplied", "tiff-greya-8-tiled"):
        pytest.skip("Pillow reads these in another way or not at all")
    data = case.make()
    picture = read_picture(data)
    with Image.open(io.BytesIO(data)) as image:
        if image.mode in ("RGBA", "LA"):
            assert picture.alpha is not None
            np.testing.assert_array_equal(np.asarray(image)[..., -1], picture.alpha)
        if picture.kind == "grey" and image.mode in ("L", "1", "LA"):
            seen = np.asarray(image.convert("LA" if image.mode == "LA" else "L").convert("RGB"))
        else:
            seen = np.asarray(image.convert("RGBA" if image.mode == "RGBA" else "RGB"))
    np.testing.assert_array_equal(picture.rgb, seen[..., :3])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_touched_gives_the_same_bytes(case: Case) -> None:
    data = case.make()
    picture = read_picture(data)
    nowhere = np.zeros(picture.rgb.shape[:2], bool)
    same = picture.with_rgb(np.zeros_like(picture.rgb), nowhere)
    assert not same.is_changed
    assert encode_picture(same, case.format) == data
    everywhere_the_same = picture.with_rgb(picture.rgb.copy(), ~nowhere)
    assert encode_picture(everywhere_the_same, case.format) == data


@pytest.mark.parametrize("case", LOSSLESS, ids=str)
def test_untouched_pixels_come_back_the_same_bits(case: Case) -> None:
    picture = read_picture(case.make())
    changed, touched = touch_middle(picture)
    again = read_picture(encode_picture(changed, case.format))
    before, after = picture.samples, again.samples
    np.testing.assert_array_equal(after.values[~touched], before.values[~touched])
    np.testing.assert_array_equal(after.values, changed.samples.values)
    np.testing.assert_array_equal(again.rgb, changed.rgb)
    if before.alpha is not None:
        np.testing.assert_array_equal(after.alpha, before.alpha)
    if before.palette is not None:
        np.testing.assert_array_equal(after.palette, before.palette)
    if before.palette_alpha is not None:
        np.testing.assert_array_equal(after.palette_alpha, before.palette_alpha)
    assert (changed.rgb[touched] != picture.rgb[touched]).any()
    assert (after.kind, after.bit_depth, after.key) == (before.kind, before.bit_depth, before.key)
    assert after.premultiplied == before.premultiplied


@pytest.mark.parametrize("case", [c for c in CASES if not c.lossless], ids=str)
def test_lossy_files_keep_their_kind_and_nearly_their_pixels(case: Case) -> None:
    picture = read_picture(case.make())
    changed, touched = touch_middle(picture)
    again = read_picture(encode_picture(changed, case.format))
    assert (again.kind, again.format) == (picture.kind, picture.format)
    # Colour samples shared with touched pixels spread over a block, so look a block away.
    difference = np.abs(again.rgb.astype(int) - picture.rgb)[:, 40:]
    assert not touched[:, 40:].any()
    assert difference.mean() < (2.5 if case.format == "WEBP" else 0.5)
    if picture.alpha is not None:
        np.testing.assert_array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.filterwarnings("ignore:.*laid over white")
@pytest.mark.filterwarnings("ignore:.*cannot hold CMYK")
@pytest.mark.filterwarnings("ignore:BMP is written without the photo's EXIF")
def test_every_kind_converts_to_every_format(case: Case, target: str) -> None:
    if target == case.format:
        return
    picture = read_picture(case.make())
    again = read_picture(encode_picture(picture, target))
    assert again.format == target
    assert again.rgb.shape == picture.rgb.shape
    lossless = target != "JPEG" and not picture.samples.premultiplied
    if lossless:
        wide = picture.max_value == 65535 and again.max_value == 255
        wanted = (picture.rgb.astype(np.uint32) + 128) // 257 if wide else picture.rgb
        np.testing.assert_array_equal(again.rgb, wanted)
        assert again.samples.has_transparency == picture.samples.has_transparency

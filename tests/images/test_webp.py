from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unsmear.errors import OutputError
from unsmear.images import Picture, encode_picture, read_picture

from .makers import ICC, XMP, exif_block, pillow, scene


@pytest.mark.parametrize("lossless", [True, False])
def test_kind_and_metadata_stay(lossless: bool) -> None:
    data = pillow(
        Image.fromarray(scene()), "WEBP", lossless=lossless, icc_profile=ICC, exif=exif_block(1),
        xmp=XMP % 1,
    )  # fmt: skip
    picture = read_picture(data)
    out = encode_picture(picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool)), "WEBP")
    assert (b"VP8L" in out, b"VP8 " in out) == (True, False)
    with Image.open(io.BytesIO(out)) as image:
        assert image.info["icc_profile"] == ICC
        assert image.info["exif"] == exif_block(1)
        assert image.info["xmp"] == XMP % 1


def test_colours_under_full_transparency_stay() -> None:
    values = np.dstack([scene(), np.zeros((37, 53), np.uint8)])
    picture = read_picture(encode_picture(Picture.from_array(values), "webp"))
    np.testing.assert_array_equal(picture.rgb, scene())


@pytest.mark.parametrize("lossless", [True, False])
def test_animated(lossless: bool) -> None:
    out = io.BytesIO()
    frames = [Image.fromarray(scene()), Image.fromarray(255 - scene())]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=lossless)
    with pytest.warns(UserWarning, match="several frames: only the first one is used") as caught:
        picture = read_picture(out.getvalue())
    assert len(caught) == 1
    assert np.abs(picture.rgb.astype(int) - scene()).mean() < (1 if lossless else 8)


def test_too_wide() -> None:
    wide = Picture.from_array(np.zeros((1, 16384), np.uint8))
    with pytest.raises(OutputError, match="WebP ends at 16383"):
        encode_picture(wide, "webp")

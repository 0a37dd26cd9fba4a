from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from unsmear.images import Picture, encode_picture, read_picture

from .makers import CASES_BY_NAME, alpha, pillow, scene


def bmp_4_bit() -> bytes:
    colours = np.random.default_rng(0).integers(0, 256, (16, 4), dtype=np.uint8)
    rows = np.zeros((37, 28), np.uint8)
    values = scene()[..., 0] % 16
    rows[:, :27] = (np.pad(values, ((0, 0), (0, 1)))[:, ::2] << 4) | np.pad(
        values, ((0, 0), (0, 1))
    )[:, 1::2]
    start = 54 + 64
    header = struct.pack("<IiiHHIIiiII", 40, 53, 37, 1, 4, 0, rows.size, 3000, 2000, 16, 0)
    head = b"BM" + struct.pack("<IHHI", start + rows.size, 0, 0, start)
    return head + header + colours.tobytes() + rows[::-1].tobytes()


def test_four_bits_stay_four_bits() -> None:
    data = bmp_4_bit()
    picture = read_picture(data)
    assert (picture.kind, picture.samples.bit_depth) == ("palette", 4)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    touched = np.zeros((37, 53), bool)
    touched[3, 4] = True
    changed = picture.with_rgb(255 - picture.rgb, touched)
    out = encode_picture(changed, "BMP")
    assert len(out) == len(data)
    assert out[:54] == data[:54].replace(struct.pack("<II", 16, 0), struct.pack("<II", 16, 0))
    np.testing.assert_array_equal(read_picture(out).samples.values, changed.samples.values)


def test_alpha_is_kept() -> None:
    picture = Picture.from_array(np.dstack([scene(), alpha()]))
    out = encode_picture(picture, "BMP")
    np.testing.assert_array_equal(read_picture(out).alpha, alpha())
    with Image.open(io.BytesIO(out)) as image:
        np.testing.assert_array_equal(np.asarray(image), np.dstack([scene(), alpha()]))


def test_resolution_stays() -> None:
    picture = read_picture(pillow(Image.fromarray(scene()), "BMP", dpi=(300, 150)))
    assert picture.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    changed = picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool))
    assert encode_picture(changed, "BMP")[38:46] == struct.pack("<ii", 11811, 5906)


@pytest.mark.parametrize("name", ["bmp-1", "bmp-L", "bmp-P", "bmp-RGB"])
def test_pillow_reads_what_we_write(name: str) -> None:
    picture = read_picture(CASES_BY_NAME[name].make())
    changed = picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool))
    with Image.open(io.BytesIO(encode_picture(changed, "BMP"))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), changed.rgb)

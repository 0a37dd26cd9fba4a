"""A picture's size by its header, against Pillow and tifffile, which decode it."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from unsmear.web.header import picture_size

from .makers import photo

FILES = {
    "JPEG": photo((53, 37), "JPEG"),
    "progressive JPEG": photo((53, 37), "JPEG", progressive=True, exif=b"Exif\0\0" + bytes(900)),
    "PNG": photo((53, 37), "PNG"),
    "BMP": photo((53, 37), "BMP"),
    "TIFF": photo((53, 37), "TIFF"),
    "lossy WEBP": photo((53, 37), "WEBP"),
    "lossless WEBP": photo((53, 37), "WEBP", lossless=True),
    "extended WEBP": photo((53, 37), "WEBP", exif=b"Exif\0\0" + bytes(90)),
}


def tiff(**options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((37, 53, 3), np.uint16), photometric="rgb", **options)
    return file.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_every_format_tells_its_size(name):
    assert picture_size(FILES[name], name.split()[-1]) == (53, 37)


@pytest.mark.parametrize("options", [{"bigtiff": True}, {"byteorder": ">"}], ids=str)
def test_tiff_of_either_kind_tells_its_size(options):
    assert picture_size(tiff(**options), "TIFF") == (53, 37)


def test_a_bmp_from_the_top_down_and_an_old_one_tell_their_sizes():
    data = bytearray(FILES["BMP"])
    data[22:26] = struct.pack("<i", -37)
    assert picture_size(bytes(data), "BMP") == (53, 37)
    old = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 53, 37, 1, 24)
    assert picture_size(old, "BMP") == (53, 37)


def test_the_size_of_a_bomb_is_told_without_its_pixels():
    head = FILES["PNG"][:16] + struct.pack(">II", 30_000, 40_000)
    assert picture_size(head, "PNG") == (30_000, 40_000)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_tells_its_size_or_nothing(name):
    data = FILES[name]
    for length in range(16, 300):
        assert picture_size(data[:length], name.split()[-1]) in (None, (53, 37))


@given(data=st.binary(max_size=400), format=st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "BMP"]))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_noise_never_raises(data, format):
    heads = {
        "JPEG": b"\xff\xd8\xff",
        "TIFF": b"II\x2b\0",
        "WEBP": b"RIFF\0\0\0\0WEBP",
        "BMP": b"BM",
        "PNG": b"\x89PNG",
    }
    size = picture_size(heads[format] + data, format)
    assert size is None or len(size) == 2


def test_a_long_run_of_padding_ends_soon():
    assert picture_size(b"\xff\xd8" + b"\xff" * (8 << 20), "JPEG") is None

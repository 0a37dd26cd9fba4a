from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unsmear.images import encode_picture, exif, read_picture
from unsmear.images.metadata import Metadata, upright_xmp

from .makers import ICC, XMP, chunk, exif_block, pillow, png, scene, tiff


def stored_as(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera held so would have stored the picture, by the EXIF standard's definition."""
    height, width = upright.shape[:2]
    y, x = np.mgrid[:height, :width]
    row, column = {
        1: (y, x), 2: (y, width - 1 - x), 3: (height - 1 - y, width - 1 - x),
        4: (height - 1 - y, x), 5: (x, y), 6: (width - 1 - x, y),
        7: (width - 1 - x, height - 1 - y), 8: (x, height - 1 - y),
    }[orientation]  # fmt: skip
    shape = (height, width) if orientation < 5 else (width, height)
    stored = np.empty((*shape, 3), upright.dtype)
    stored[row, column] = upright
    return stored


def file_with(format: str, stored: np.ndarray, orientation: int) -> bytes:
    block = exif_block(orientation)
    image = Image.fromarray(stored)
    if format == "PNG-16":
        return png(stored.astype(np.uint16) * 257, 16, 2, before=chunk(b"eXIf", block))
    if format == "TIFF":
        return tiff(stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}
    return pillow(image, format, exif=b"Exif\0\0" + block, **options.get(format, {}))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "PNG-16", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(format: str, orientation: int) -> None:
    upright = scene()
    data = file_with(format, stored_as(upright, orientation), orientation)
    picture = read_picture(data)
    scale = 257 if format == "PNG-16" else 1
    tolerance = 4 if format == "JPEG" else 0
    assert np.abs(picture.rgb.astype(int) - upright.astype(int) * scale).mean() <= tolerance

    touched = np.zeros(upright.shape[:2], bool)
    touched[0, 0] = True
    changed = picture.with_rgb(picture.rgb // 2, touched)
    out = encode_picture(changed, format.removesuffix("-16"))
    again = read_picture(out)
    assert again.metadata.orientation == 1
    assert again.rgb.shape == upright.shape
    difference = again.rgb[16:].astype(int) - picture.rgb[16:].astype(int)
    assert np.abs(difference).mean() <= tolerance
    if format != "PNG-16":
        with Image.open(io.BytesIO(out)) as seen:
            assert seen.getexif().get(274, 1) == 1
            assert seen.size == (53, 37)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_other_exif_bytes_stay_where_they_are(format: str) -> None:
    block = exif_block(6)
    data = file_with(format, stored_as(scene(), 6), 6)
    picture = read_picture(data)
    wanted = exif_block(1)
    # Width and height in the Exif directory change places together with the pixels' sides.
    wide, high = struct.pack("<I", 53), struct.pack("<I", 37)
    at = wanted.index(struct.pack("<HHI", 40962, 4, 1)) + 8
    assert wanted[at : at + 4] == wide
    wanted = wanted[:at] + high + wanted[at + 4 : at + 12] + wanted[at + 12 :]
    at += 12
    wanted = wanted[:at] + wide + wanted[at + 4 :]
    assert picture.metadata.exif == wanted
    assert len(block) == len(wanted)
    out = encode_picture(picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool)), format)
    assert wanted in out


@pytest.mark.parametrize("order", ["<", ">"])
def test_gps_and_maker_note_survive_in_tiff(order: str) -> None:
    from_jpeg = read_picture(
        pillow(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0" + exif_block(6, order))
    )
    in_tiff = read_picture(encode_picture(from_jpeg, "TIFF"))
    changed = in_tiff.with_rgb(255 - in_tiff.rgb, np.ones(in_tiff.rgb.shape[:2], bool))
    for data in (encode_picture(from_jpeg, "TIFF"), encode_picture(changed, "TIFF")):
        with Image.open(io.BytesIO(data)) as seen:
            tags = seen.getexif()
            assert tags[271] == "Kodachrome 64"
            assert tags[274] == 1
            assert tags.get_ifd(34665)[37500] == b"maker note with \xff\xd8 in it\0\0"
            assert tuple(tags.get_ifd(34853)[2]) == (52, 31, 12)
            np.testing.assert_array_equal(np.asarray(seen), read_picture(data).rgb)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_sides_in_the_main_directory_are_turned(orientation: int) -> None:
    """Some phones say them there too, not in the Exif directory alone."""
    stored = Image.Exif()
    stored.update({256: 53, 257: 37, 274: orientation})
    seen = Image.Exif()
    seen.load(exif.upright(stored.tobytes().removeprefix(b"Exif\0\0"), orientation))
    assert (seen[256], seen[257]) == ((37, 53) if orientation >= 5 else (53, 37))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_preview_of_the_old_picture_is_cut_loose(format: str, orientation: int) -> None:
    """File managers would show the photo still blurred, or on its side."""
    block = exif_block(orientation, preview=True)
    data = pillow(Image.fromarray(scene()), format, exif=b"Exif\0\0" + block)
    picture = read_picture(data)
    written = encode_picture(
        picture.with_rgb(255 - picture.rgb, np.ones(picture.size[::-1], bool)), format
    )
    for each, directories in ((data, 2), (written, 1)):
        at = each.index(block[:8])
        assert len(list(exif.read_directories(each[at : at + len(block)]))) == directories


@pytest.mark.parametrize(
    "broken", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"nonsense" * 9]
)
def test_a_block_that_cannot_be_parsed_is_carried_as_it_is(broken: bytes) -> None:
    picture = read_picture(
        pillow(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0" + broken + b"\0")
    )
    assert picture.metadata.exif == broken + b"\0"
    changed = picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool))
    assert b"Exif\0\0" + broken + b"\0" in encode_picture(changed, "JPEG")


@given(st.binary(max_size=200), st.integers(1, 8))
def test_random_blocks_never_raise(junk: bytes, orientation: int) -> None:
    for block in (junk, b"II*\0\x08\0\0\0" + junk, b"MM\0*\0\0\0\x08" + junk):
        exif.orientation(block)
        exif.resolution(block)
        assert len(exif.upright(block, orientation)) == len(block)


def test_directories_written_anew_read_back() -> None:
    block = exif_block(3, ">")
    first = next(exif.read_directories(block))
    again = next(exif.read_directories(exif.make_block(first, ">")))

    def values(directory: exif.Directory) -> dict:
        own = {tag: (e.type, e.count, e.data) for tag, e in directory.entries.items()}
        return own | {tag: values(below) for tag, below in directory.below.items()}

    assert values(again) == values(first)
    assert len(values(first)) == 4


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_xmp_orientation_does_not_contradict(format: str) -> None:
    image = Image.fromarray(stored_as(scene(), 8))
    packet = XMP % 8
    if format == "TIFF":
        data = tiff(
            np.asarray(image), photometric="rgb",
            extratags=[(274, 3, 1, 8, True), (700, 1, len(packet), packet, True)],
        )  # fmt: skip
    elif format == "PNG":
        text = chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + packet)
        data = png(np.asarray(image), 8, 2, before=chunk(b"eXIf", exif_block(8)) + text)
    else:
        data = pillow(image, format, exif=b"Exif\0\0" + exif_block(8), xmp=packet)
    picture = read_picture(data)
    assert picture.rgb.shape == (37, 53, 3)
    changed = picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool))
    again = read_picture(encode_picture(changed, format))
    assert again.metadata.xmp == XMP % 1
    assert again.metadata.orientation == 1


def test_xmp_speaks_only_when_exif_is_silent() -> None:
    assert Metadata(xmp=XMP % 6).orientation == 6
    assert Metadata(xmp=XMP % 6, exif=exif_block(1)).orientation == 1
    assert Metadata(xmp=XMP % 6, exif=exif_block(9)).orientation == 6
    element = b"<tiff:Orientation>6</tiff:Orientation>"
    assert upright_xmp(element) == element.replace(b"6", b"1")


@pytest.mark.parametrize("dpi", [(0.0, 300.0), (4e9, 4e9), (float("nan"), 1.0)])
def test_nonsense_resolution_is_left_out(dpi: tuple[float, float]) -> None:
    assert Metadata(dpi=dpi).dpi is None


def test_profile_is_left_out_where_it_would_lie() -> None:
    metadata = Metadata(icc=ICC)
    assert metadata.icc_for("rgb") == metadata.icc_for("palette") == ICC
    assert metadata.icc_for("grey") is None
    assert Metadata(icc=b"absurd").icc_for("grey") == b"absurd"

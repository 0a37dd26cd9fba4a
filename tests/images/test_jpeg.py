from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from unsmear.errors import InputError
from unsmear.images import Picture, encode_picture, read_picture
from unsmear.images.jpeg_segments import DHT, picture_end, split

from .makers import CASES_BY_NAME, ICC, XMP, exif_block, pillow, scene

TABLE = [(3 + (7 * i) % 90) for i in range(64)]


def touched_corner(picture: Picture) -> tuple[Picture, np.ndarray]:
    """Change the first 16 x 16 pixels; returns the pixels further than a block away from them."""
    touched = np.zeros(picture.rgb.shape[:2], bool)
    touched[:16, :16] = True
    far = np.ones_like(touched)
    far[:24, :24] = False
    return picture.with_rgb(255 - picture.rgb, touched), far


def opened(data: bytes) -> JpegImagePlugin.JpegImageFile:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [40, 75, 90, 95])
def test_tables_and_subsampling_stay(quality: int, subsampling: int, progressive: bool) -> None:
    data = pillow(
        Image.fromarray(scene()), "JPEG", quality=quality, subsampling=subsampling,
        progressive=progressive,
    )  # fmt: skip
    before, after = (
        opened(data),
        opened(encode_picture(touched_corner(read_picture(data))[0], "jpg")),
    )
    assert after.quantization == before.quantization
    assert JpegImagePlugin.get_sampling(after) == subsampling
    assert bool(after.info.get("progressive")) == progressive
    assert after.size == before.size


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_unusual_tables_stay(mode: str) -> None:
    tables = [TABLE, TABLE[::-1], TABLE[1:] + TABLE[:1]][: 1 if mode == "L" else 3]
    data = pillow(Image.fromarray(scene()).convert(mode), "JPEG", qtables=tables)
    changed, _ = touched_corner(read_picture(data))
    assert opened(encode_picture(changed, "JPEG")).quantization == opened(data).quantization


@pytest.mark.parametrize("size", [(37, 53), (48, 64), (40, 56), (33, 33), (9, 7), (1, 1), (2, 17)])
@pytest.mark.parametrize("mode", ["444", "422", "420", "L", "CMYK", "keep_rgb"])
def test_blocks_nobody_touched_are_the_same(mode: str, size: tuple[int, int]) -> None:
    image = Image.fromarray(scene(*size))
    options: dict[str, object] = {"quality": 85}
    if mode == "keep_rgb":
        options["keep_rgb"] = True
    elif mode.isdigit():
        options["subsampling"] = f"{mode[0]}:{mode[1]}:{mode[2]}"
    else:
        image = image.convert(mode)
    picture = read_picture(pillow(image, "JPEG", **options))
    changed, far = touched_corner(picture)
    again = read_picture(encode_picture(changed, "JPEG"))
    assert again.rgb.shape == picture.rgb.shape
    # All but a rare coefficient that 8-bit samples leave half-way between two steps.
    difference = np.abs(again.rgb[far].astype(int) - picture.rgb[far])
    assert difference.max(initial=0) <= 2
    assert np.count_nonzero(difference) <= 0.001 * difference.size
    near = np.abs(again.rgb.astype(int) - changed.rgb)
    assert near.mean() < 25


def test_saturated_and_noisy_pictures_drift_little() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture = read_picture(pillow(Image.fromarray(noise), "JPEG", quality=95, subsampling=2))
    changed, far = touched_corner(picture)
    again = read_picture(encode_picture(changed, "JPEG"))
    assert np.abs(again.rgb[far].astype(int) - picture.rgb[far]).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_turning_ragged_pictures(orientation: int, subsampling: int, progressive: bool) -> None:
    data = pillow(
        Image.fromarray(scene()), "JPEG", quality=85, subsampling=subsampling,
        progressive=progressive, exif=b"Exif\0\0" + exif_block(orientation),
    )  # fmt: skip
    picture = read_picture(data)
    changed, far = touched_corner(picture)
    again = read_picture(encode_picture(changed, "JPEG"))
    assert np.abs(again.rgb[far].astype(int) - picture.rgb[far]).mean() < 3.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", [0, 2])
def test_whole_blocks_survive_turning(orientation: int, subsampling: int) -> None:
    data = pillow(
        Image.fromarray(scene(48, 64)), "JPEG", quality=85, subsampling=subsampling,
        exif=b"Exif\0\0" + exif_block(orientation),
    )  # fmt: skip
    picture = read_picture(data)
    changed, far = touched_corner(picture)
    again = read_picture(encode_picture(changed, "JPEG"))
    # The inverse transform rounds rows and columns differently, so decoding a turned file is not
    # turning a decoded file to the last bit.
    difference = np.abs(again.rgb[far].astype(int) - picture.rgb[far])
    assert difference.max() <= 4
    assert difference.mean() < 0.3
    tables = opened(encode_picture(changed, "JPEG")).quantization
    for number, table in opened(data).quantization.items():
        wanted = np.reshape(table, (8, 8))
        wanted = wanted.T if orientation >= 5 else wanted
        np.testing.assert_array_equal(np.reshape(tables[number], (8, 8)), wanted)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("size", "factors"), [((48, 64), (1, 2)), ((44, 64), (1, 1))])
def test_turned_422_keeps_all_colour(
    size: tuple[int, int], factors: tuple[int, int], progressive: bool
) -> None:
    data = pillow(
        Image.fromarray(scene(*size)), "JPEG", subsampling=1, progressive=progressive,
        exif=b"Exif\0\0" + exif_block(6),
    )  # fmt: skip
    changed, far = touched_corner(read_picture(data))
    out = encode_picture(changed, "JPEG")
    # Columns become rows; where coefficients cannot be turned, there is no such way to write them.
    assert opened(out).layer[0][1:3] == factors
    assert np.abs(read_picture(out).rgb[far].astype(int) - changed.rgb[far]).mean() < 3


def test_segments_stay_byte_for_byte() -> None:
    icc = ICC + bytes(70000)  # more than one segment
    data = pillow(
        Image.fromarray(scene()), "JPEG", icc_profile=icc, exif=b"Exif\0\0" + exif_block(1),
        xmp=XMP % 1, comment=b"a comment", dpi=(300, 200),
    )  # fmt: skip
    iptc = b"\xff\xed" + struct.pack(">H", 2 + 20) + b"of some other program"[:20]
    data = data[:20] + iptc + data[20:]
    out = encode_picture(touched_corner(read_picture(data))[0], "JPEG")
    before, after = opened(data), opened(out)
    assert after.applist == before.applist
    assert after.info["icc_profile"] == icc
    assert after.info["dpi"] == (300, 200)
    assert after.info["comment"] == b"a comment"
    assert read_picture(out).metadata == read_picture(data).metadata


def test_a_preview_of_the_old_picture_in_a_segment_of_its_own_is_left_out() -> None:
    data = CASES_BY_NAME["jpeg-420"].make()
    preview = b"\xff\xe0\0\x0fJFXX\0\x10preview"
    held = data[:20] + preview + data[20:]
    written = encode_picture(touched_corner(read_picture(held))[0], "JPEG")
    assert written == encode_picture(touched_corner(read_picture(data))[0], "JPEG")


def test_a_film_frame_without_huffman_tables_keeps_its_blocks() -> None:
    """Motion JPEG leaves out the tables that are always the same."""
    data = CASES_BY_NAME["jpeg-420"].make()
    segments, scan = split(data)
    told = [segment for segment in segments if segment.marker != DHT]
    assert len(told) < len(segments)
    bare = b"\xff\xd8" + b"".join(map(bytes, told)) + data[scan:]
    written = encode_picture(touched_corner(read_picture(bare))[0], "JPEG")
    assert written == encode_picture(touched_corner(read_picture(data))[0], "JPEG")


def test_bytes_between_segments_are_passed_over() -> None:
    data = pillow(Image.fromarray(scene()), "JPEG", comment=b"a comment")
    at = data.index(b"\xff\xdb")
    read = read_picture(data[:at] + b"?>" + data[at:])
    np.testing.assert_array_equal(read.rgb, read_picture(data).rgb)


def test_adobe_cmyk_keeps_its_marker() -> None:
    data = CASES_BY_NAME["jpeg-cmyk"].make()
    changed, _ = touched_corner(read_picture(data))
    after = opened(encode_picture(changed, "JPEG"))
    assert after.mode == "CMYK"
    assert after.info["adobe_transform"] == opened(data).info["adobe_transform"]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_film_behind_the_picture_is_kept(progressive: bool) -> None:
    thumbnail = pillow(Image.fromarray(scene()), "JPEG")
    film = b"\0\0\0\x18ftypmp42 \xff\xd8\xff\xd9 and more"
    data = pillow(Image.fromarray(scene()), "JPEG", progressive=progressive, comment=thumbnail)
    alone, with_film = (
        encode_picture(touched_corner(read_picture(each))[0], "JPEG")
        for each in (data, data + film)
    )
    assert with_film == alone + film


def test_nothing_follows_a_picture_without_an_end() -> None:
    data = pillow(Image.fromarray(scene()), "JPEG")
    _, scan = split(data)
    assert picture_end(data, scan) == len(data)
    assert picture_end(data[:-2], scan) == len(data) - 2
    assert picture_end(data[: scan + 2], scan) == scan + 2


@pytest.mark.parametrize("progressive", [False, True])
def test_a_picture_is_whole_without_its_end_marker(progressive: bool) -> None:
    whole = pillow(Image.fromarray(scene()), "JPEG", quality=90, progressive=progressive)
    picture = read_picture(whole[:-2])
    assert np.array_equal(picture.rgb, read_picture(whole).rgb)
    changed, _ = touched_corner(picture)
    assert opened(encode_picture(changed, "JPEG")).size == (scene().shape[1], scene().shape[0])
    with pytest.raises(InputError, match="ends before the picture is complete"):
        read_picture(whole[:-20])


def test_metadata_from_another_format() -> None:
    png = pillow(
        Image.fromarray(scene()), "PNG", icc_profile=ICC, dpi=(300, 300), exif=exif_block(1)
    )
    out = encode_picture(read_picture(png), "JPEG")
    image = opened(out)
    assert image.info["icc_profile"] == ICC
    assert image.info["dpi"] == (300, 300)
    assert image.info["exif"] == b"Exif\0\0" + exif_block(1)
    assert JpegImagePlugin.get_sampling(image) == 0


def test_metadata_too_large_for_jpeg_is_said() -> None:
    png = pillow(Image.fromarray(scene()), "PNG", exif=exif_block(1) + bytes(70000))
    with pytest.warns(UserWarning, match="EXIF data is too large for JPEG"):
        encode_picture(read_picture(png), "JPEG")


def test_noise_too_large_for_pillows_guess() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    data = pillow(Image.fromarray(noise), "JPEG", quality=100, subsampling=0)
    changed, _ = touched_corner(read_picture(data))
    assert read_picture(encode_picture(changed, "JPEG")).rgb.shape == (200, 200, 3)


@pytest.mark.parametrize("subsampling", ["440", "411"])
@pytest.mark.parametrize("size", [(37, 53), (33, 17), (48, 64)])
def test_coarse_colour_that_cannot_be_written(size: tuple[int, int], subsampling: str) -> None:
    data = imagecodecs.jpeg8_encode(scene(*size), level=85, subsampling=subsampling)
    picture = read_picture(data)
    changed, far = touched_corner(picture)
    again = read_picture(encode_picture(changed, "JPEG"))
    assert np.abs(again.rgb[far].astype(int) - picture.rgb[far]).mean() < 3


def test_grey_with_a_sampling_factor() -> None:
    # Cameras write grey with factors of 2, which mean nothing for a single component.
    data = bytearray(pillow(Image.fromarray(scene()[..., 0]), "JPEG", quality=85))
    at = data.index(b"\xff\xc0") + 11
    assert data[at] == 0x11
    data[at] = 0x22
    picture = read_picture(bytes(data))
    changed, far = touched_corner(picture)
    again = read_picture(encode_picture(changed, "JPEG"))
    np.testing.assert_array_equal(again.rgb[far], picture.rgb[far])

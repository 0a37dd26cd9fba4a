from __future__ import annotations

import contextlib
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from unsmear.errors import InputError
from unsmear.images import encode_picture, read_picture, reading
from unsmear.images.formats import sniff

from .makers import CASES, CASES_BY_NAME, Case, chunk, exif_block, grey, pillow, png, scene, tiff


def refusal(source: object, **options: object) -> str:
    """The one sentence with which a source is refused."""
    with pytest.raises(InputError) as caught:
        read_picture(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert ": " in message
    return message


def one_of(format: str) -> bytes:
    return next(case for case in CASES if case.format == format).make()


@pytest.mark.parametrize(
    ("format", "what"),
    [("MPO", "pictures"), ("PNG", "frames"), ("TIFF", "pages"), ("WEBP", "frames")],
)
def test_a_file_to_be_replaced_holds_one_picture(format: str, what: str) -> None:
    others = {"save_all": True, "append_images": [Image.fromarray(255 - scene())]}
    if format == "MPO":  # those of a turned photo alone cannot be kept
        others["exif"] = b"Exif\0\0" + exif_block(6)
    data = pillow(Image.fromarray(scene()), format, **others)
    said = f"the data has several {what}, and only the first one would be left"
    assert refusal(data, whole=True).startswith(said)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (
            imagecodecs.jpeg8_encode(grey(np.uint16) >> 4, bitspersample=12),
            "a JPEG of 12 bits per sample",
        ),
        (imagecodecs.ljpeg_encode(grey()), "a lossless JPEG"),
        (imagecodecs.jpegls_encode(grey()), "a lossless JPEG"),
    ],
)
def test_a_jpeg_of_another_process_is_not_called_damaged(data: bytes, what: str) -> None:
    assert refusal(bytes(data)).startswith(f"the data is {what}, which is not supported:")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_paths_bytes_and_files_are_the_same(format: str, tmp_path: Path) -> None:
    data = one_of(format)
    path = tmp_path / "photo.txt"  # the name decides nothing
    path.write_bytes(data)
    with path.open("rb") as file:
        pictures = [read_picture(path), read_picture(data), read_picture(file)]
    pictures.append(read_picture(io.BytesIO(data)))
    for picture in pictures:
        assert picture.format == format
        assert picture.original_bytes == data
        np.testing.assert_array_equal(picture.rgb, pictures[0].rgb)


def test_missing_and_folder_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    assert refusal(path) == f"{path} does not exist: check the name"
    assert refusal(tmp_path) == f"{tmp_path} is a folder: name the pictures in it"
    path.write_bytes(b"")
    assert refusal(path) == f"{path} is empty: copy it again from where it came"
    assert "cannot be read" in refusal(Path("a\0b.jpg"))
    assert "the data is empty" in refusal(b"")


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(one_of("JPEG"))

    def refuse(self: Path, *_: object, **__: object) -> None:  # root may read everything
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == f"{path} may not be read: change its permissions"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_for_real(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(one_of("JPEG"))
    path.chmod(0)
    assert "may not be read" in refusal(path)


def test_failing_disk_and_closed_and_text_files() -> None:
    class Broken(io.RawIOBase):
        name = "/media/card/photo.jpg"

        def read(self, _size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    assert refusal(Broken()).startswith("/media/card/photo.jpg cannot be read (Input/output error)")
    closed = io.BytesIO(b"x")
    closed.close()
    assert "cannot be read" in refusal(closed)
    assert "binary" in refusal(io.StringIO("text"))


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"GIF89a", "a GIF"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"\0\0\0\x18ftypmif1", "a HEIC picture"),
        (b"\0\0\0\x18ftypavif", "an AVIF picture"),
        (b"\0\0\0\x18ftypcrx ", "a camera raw file"),
        (b"<?xml version='1.0'?>\n<svg xmlns=''>", "an SVG drawing"),
        (b"  <svg>", "an SVG drawing"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera raw file"),
        (b"FUJIFILMCCD-RAW ", "a camera raw file"),
        (b"%PDF-1.7", "a PDF"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 picture"),
    ],
)
def test_other_formats_are_named(head: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(head + bytes(100))
    wanted = f"{path} is {what}, which is not supported: convert it to PNG, JPEG or TIFF first"
    assert refusal(path) == wanted


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x18ftypmp42",
        b"\0\0\0\x14ftypqt  ",
        b"\0\0\0\x08wide\0\0\0\0mdat",
        b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81",
        b"RIFF\x84\x21\0\0AVI LIST",
        b"FLV\x01\x01\0\0\0\x09",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"OggS\0\x02",
        b"\0\0\x01\xba\x21\0\x01",
        b"\x47\x40\x11\x10".ljust(188, b"\xff") + b"\x47\x50\0\x10",
        b"\x0e\xbf\x46\x22\x47\x40\x11\x10".ljust(196, b"\xff") + b"\x47\x50\0\x10",
    ],
)
def test_films_are_told_how_to_be_taken(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(head + bytes(100))
    assert refusal(path) == (
        f"{path} is a film and no picture: give it an ending that says so, such as .mp4, and the"
        " unsmear command takes it for a clip"
    )


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x01\x67\x64\0\x0a",
        b"\0\0\0\x01\x40\x01\x0c\x01",
        b"\0\0\x01\xb3\x04\0\x30\x23",
        b"YUV4MPEG2 W64 H48",
        b"\x1f\x07\0\xbf\xf8",
        b"DHAV\xfd\0",
    ],
)
def test_films_without_a_container_are_called_so(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "camera.h264"
    path.write_bytes(head + bytes(100))
    wanted = f"{path} is a film without a common container: put it into an MP4 or MKV file first"
    assert refusal(path) == wanted


def test_raw_by_name_and_text(tmp_path: Path) -> None:
    raw = tmp_path / "DSC_0001.NEF"
    raw.write_bytes(tiff(scene(), photometric="rgb"))
    assert "camera raw file" in refusal(raw)
    text = tmp_path / "photo.jpg"
    text.write_text("dear diary")
    assert refusal(text).endswith(
        "is not a picture that unsmear reads: give it a JPEG, PNG, TIFF, WebP or BMP"
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_truncated_files(case: Case) -> None:
    data = case.make()
    for keep in (0.02, 0.5, 0.9):
        cut = data[: int(len(data) * keep)]
        try:
            picture = read_picture(cut)
        except InputError:
            continue
        else:  # what is missing was not needed
            assert keep > 0.4
            assert picture.rgb.shape == (37, 53, 3)


@pytest.mark.parametrize(
    "name", ["jpeg-420", "png-rgb-8", "png-rgb-16", "webp-lossless", "bmp-RGB"]
)
def test_half_a_picture_is_refused(name: str) -> None:
    data = CASES_BY_NAME[name].make()
    assert "copy it again" in refusal(data[: len(data) // 2])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_pixel_limit(format: str, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(one_of(format))
    read_picture(path, max_pixels=37 * 53)
    message = refusal(path, max_pixels=37 * 53 - 1)
    assert message.startswith(f"{path} is 53 x 37 pixels, more than the limit of 1,960: ")


def header_bomb(format: str, side: int) -> bytes:
    """A tiny file that claims to be `side` x `side` pixels."""
    if format == "PNG":
        data = png(scene(), 8, 2)
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        return data[:8] + chunk(b"IHDR", header) + data[33:]
    if format == "JPEG":
        data = pillow(Image.fromarray(scene()), "JPEG")
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]
    if format == "WEBP":
        data = pillow(Image.fromarray(scene()), "WEBP", lossless=True)
        at = data.index(b"VP8L") + 9
        bits = (side - 1) | (side - 1) << 14
        return data[:at] + struct.pack("<I", bits) + data[at + 4 :]
    if format == "BMP":
        data = pillow(Image.fromarray(scene()), "BMP")
        return data[:18] + struct.pack("<ii", side, side) + data[26:]
    data = bytearray(tiff(scene(), photometric="rgb"))
    entries = struct.unpack_from("<I", data, 4)[0] + 2
    for at in range(entries, entries + 12 * 12, 12):
        if struct.unpack_from("<H", data, at)[0] in (256, 257):
            struct.pack_into("<I", data, at + 8, side)
    return bytes(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_decode_bombs_are_refused_before_decoding(format: str) -> None:
    side = 16384 if format == "WEBP" else 60000
    assert f"is {side} x {side} pixels, more than the limit" in refusal(header_bomb(format, side))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP"])
def test_zero_sides(format: str) -> None:
    refusal(header_bomb(format, 0))


@pytest.mark.filterwarnings("error")
def test_pillows_own_limit_neither_fires_nor_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for format in ("JPEG", "PNG", "TIFF", "WEBP", "BMP"):
        picture = read_picture(one_of(format))
        changed = picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool))
        encode_picture(changed, format)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_limit_beyond_all_bounds_is_none(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(scene(), 8, 2))
    for limit in (10**11, 10**30):
        assert read_picture(path, max_pixels=limit).size == (53, 37)


def test_files_far_beyond_the_limit_are_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_METADATA_ROOM", 1 << 20)
    path = tmp_path / "photo.jpg"
    with path.open("wb") as file:
        file.truncate(400 << 20)  # takes no room on disk
    with path.open("rb") as file:
        assert "larger than 1 MiB" in refusal(file, max_pixels=1000)
        assert 1 << 20 < file.tell() < 10 << 20


def test_a_file_that_comes_in_pieces_is_read_whole() -> None:
    data = png(scene(), 8, 2)

    class Pipe(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(100, size or 0))

    assert read_picture(Pipe(data)).original_bytes == data


def test_warnings_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    Image.fromarray(scene()).save(path, save_all=True, append_images=[Image.fromarray(scene())])
    with pytest.warns(UserWarning, match=str(path)) as caught:
        read_picture(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_absurd_profiles_are_carried(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    data = pillow(Image.fromarray(scene()), format, icc_profile=b"absurd" * 30, **options)
    picture = read_picture(data)
    assert picture.metadata.icc == b"absurd" * 30
    changed = picture.with_rgb(255 - picture.rgb, np.ones((37, 53), bool))
    assert read_picture(encode_picture(changed, format)).metadata.icc == b"absurd" * 30


@given(st.binary(max_size=600), st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "BMP", None]))
@settings(max_examples=150, deadline=None)
def test_random_bytes_raise_only_input_errors(junk: bytes, format: str | None) -> None:
    heads = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "TIFF": b"II*\0\x08\0\0\0",
             "WEBP": b"RIFF\xff\0\0\0WEBP", "BMP": b"BM" + bytes(12) + b"\x28\0\0\0"}  # fmt: skip
    with contextlib.suppress(InputError):
        read_picture(heads.get(format or "", b"") + junk, max_pixels=10_000)


VICTIMS = {case.name: case.make() for case in CASES} | {
    "jpeg-exif": pillow(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0" + exif_block(6)),
    "png-exif": png(scene(), 8, 2, before=chunk(b"eXIf", exif_block(6))),
}


@given(
    st.sampled_from(sorted(VICTIMS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    st.booleans(),
    st.floats(0.05, 1),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_corrupted_files_decode_or_raise_input_errors(
    name: str, damage: list[tuple[float, int]], at_the_start: bool, keep: float
) -> None:
    data = bytearray(VICTIMS[name])
    for place, value in damage:
        data[int(place * (min(len(data), 400) if at_the_start else len(data)))] = value
    if name.startswith("png"):
        data = mended(data)  # otherwise checksums stop everything at once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = read_picture(bytes(data[: int(len(data) * keep)]), max_pixels=100_000)
            nowhere = np.ones(picture.rgb.shape[:2], bool)
            changed = picture.with_rgb(picture.max_value - picture.rgb, nowhere)
            assert picture.format is not None
            encode_picture(changed, picture.format)
        except InputError:
            pass


def mended(data: bytearray) -> bytearray:
    at = 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        if at + 12 + length > len(data):
            break
        crc = zlib.crc32(data[at + 4 : at + 8 + length])
        struct.pack_into(">I", data, at + 8 + length, crc)
        at += 12 + length
    return data


@given(st.binary(max_size=64))
def test_sniffing_never_fails_otherwise(head: bytes) -> None:
    from unsmear.images.formats import FORMATS, Unreadable

    with contextlib.suppress(Unreadable):
        assert sniff(head) in FORMATS

"""Captions, keywords and bylines as news agencies store them, and what else a file may say."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from unsmear.images import Picture, encode_picture, read_picture
from unsmear.images.iptc import iptc_in, resources_of
from unsmear.images.jpeg_segments import split

from .makers import ICC, XMP, chunk, exif_block, grey, pillow, png, scene, tiff

IPTC = b"\x1c\x02\x19\x00\x05train" + b"\x1c\x02\x78\x00\x11A train, arriving"
OTHERS = b"8BIM\x04\x0a\x03odd\0\0\0\x01\x01\0" + b"8BIM\x04\x26\0\0\0\0\0\x02ab"


def changed(data: bytes) -> Picture:
    picture = read_picture(data)
    return picture.with_rgb(255 - picture.rgb, np.ones(picture.rgb.shape[:2], bool))


def jpeg(**options: object) -> bytes:
    return pillow(Image.fromarray(scene()), "JPEG", **options)


def with_photoshop(data: bytes, *pieces: bytes) -> bytes:
    """Photoshop's segments before all others."""
    pieces = tuple(b"Photoshop 3.0\0" + piece for piece in pieces)
    made = [b"\xff\xed" + struct.pack(">H", 2 + len(piece)) + piece for piece in pieces]
    return data[:2] + b"".join(made) + data[2:]


def photo_tiff(*tags: tuple[int, int, int, object], **options: object) -> bytes:
    return tiff(scene(), photometric="rgb", extratags=[(*tag, True) for tag in tags], **options)


def tag_of(data: bytes, tag: int) -> bytes | None:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages.first.tags.get(tag)
        return None if found is None else bytes(found.value)


def test_iptc_among_resources() -> None:
    assert iptc_in(OTHERS) is None
    assert iptc_in(OTHERS + resources_of(IPTC) + OTHERS) == IPTC
    assert iptc_in(resources_of(IPTC + b"\0")) == IPTC + b"\0"
    for end in range(len(resources_of(IPTC))):
        assert iptc_in(resources_of(IPTC)[:end]) is None


PREVIEW = b"8BIM\x04\x0c\0\0\0\0\0\x05small\0"


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_photoshops_preview_of_the_old_picture_is_left_out_of_a_jpeg(cut: int) -> None:
    before = OTHERS + PREVIEW + resources_of(IPTC) + b"what nobody can read"
    pieces = (before[:cut], before[cut:]) if cut else (before,)
    written = encode_picture(changed(with_photoshop(jpeg(), *pieces)), "JPEG")
    payloads = [segment.payload for segment in split(written)[0] if segment.marker == 0xED]
    kept = b"".join(payload.removeprefix(b"Photoshop 3.0\0") for payload in payloads)
    assert kept == before.replace(PREVIEW, b"")


def test_photoshops_preview_alone_leaves_nothing_in_a_jpeg() -> None:
    assert b"Photoshop" not in encode_picture(changed(with_photoshop(jpeg(), PREVIEW)), "JPEG")


def test_photoshops_preview_of_the_old_picture_is_left_out_of_a_tiff() -> None:
    for resources in (OTHERS + PREVIEW + resources_of(IPTC), PREVIEW):
        data = photo_tiff((34377, 7, len(resources), resources))
        wanted = resources.replace(PREVIEW, b"") or None
        assert tag_of(encode_picture(changed(data), "TIFF"), 34377) == wanted


@pytest.mark.parametrize("cut", [0, 20])
def test_from_jpeg_to_tiff(cut: int) -> None:
    resources = OTHERS + resources_of(IPTC)
    pieces = (resources[:cut], resources[cut:]) if cut else (resources,)
    picture = changed(with_photoshop(jpeg(), *pieces))
    written = encode_picture(picture, "TIFF")
    assert tag_of(written, 33723) == IPTC
    assert read_picture(written).metadata.iptc == IPTC
    assert encode_picture(picture, "JPEG").count(b"Photoshop 3.0\0") == len(pieces)


@pytest.mark.parametrize("order", ["<", ">"])
def test_from_tiff_to_jpeg(order: str) -> None:
    thumbnail = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 70000) + bytes(70000)
    resources = thumbnail + resources_of(b"\x1c\x02\x19\x00\x03old")
    tags = (33723, 7, len(IPTC), IPTC), (34377, 7, len(resources), resources)
    data = photo_tiff(*tags, (271, 2, 0, "Kodachrome 64"), byteorder=order)
    picture = changed(data)
    written = encode_picture(picture, "JPEG")
    assert resources_of(IPTC) in written
    assert b"Kodachrome 64" in written  # a thumbnail of Photoshop's made EXIF too large for JPEG
    assert read_picture(written).metadata.iptc == IPTC
    again = encode_picture(picture, "TIFF")
    assert tag_of(again, 33723) == IPTC
    assert tag_of(again, 34377) == resources.removeprefix(thumbnail)


def test_iptc_that_only_resources_have() -> None:
    resources = OTHERS + resources_of(IPTC)
    data = photo_tiff((34377, 7, len(resources), resources))
    assert resources_of(IPTC) in encode_picture(changed(data), "JPEG")


def test_iptc_that_is_none() -> None:
    """Some programs write it as 32-bit numbers of the other byte order."""
    picture = read_picture(photo_tiff((33723, 4, 2, (0x1C025000, 0x01020304))))
    assert picture.metadata.iptc is None


def test_iptc_too_large_for_jpeg_is_said() -> None:
    much = IPTC * 3000
    with pytest.warns(UserWarning, match="IPTC data is too large for JPEG"):
        encode_picture(changed(photo_tiff((33723, 7, len(much), much))), "JPEG")


@pytest.mark.parametrize(
    ("format", "lost"),
    [
        ("PNG", "PNG is written without the photo's IPTC captions and comment"),
        ("WEBP", "WebP is written without the photo's IPTC captions and comment"),
        ("TIFF", "TIFF is written without the photo's comment"),
        ("BMP", "BMP is written without the photo's EXIF, XMP, IPTC captions and comment"),
    ],
)
def test_what_is_left_out_is_said(format: str, lost: str) -> None:
    data = jpeg(comment=b"a comment", exif=b"Exif\0\0" + exif_block(1), xmp=XMP % 1)
    picture = changed(with_photoshop(data, resources_of(IPTC)))
    with pytest.warns(UserWarning, match="is written without") as caught:
        encode_picture(picture, format)
    assert [str(each.message) for each in caught] == [lost]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_nothing_is_said_where_nothing_is_lost(format: str) -> None:
    data = jpeg(exif=b"Exif\0\0" + exif_block(1), xmp=XMP % 1, comment=b"\0 ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_picture(changed(data), format)
        full = with_photoshop(jpeg(comment=b"a comment"), resources_of(IPTC))
        encode_picture(changed(full), "JPEG")


GREY_ICC = ICC[:16] + b"GRAY" + ICC[20:]
PATH_OF_A_CAT = struct.pack(">4sH6sI", b"8BIM", 2000, b"\x03cat\0\0", 26) + bytes(26)


@pytest.mark.parametrize(
    ("data", "format", "lost"),
    [
        (with_photoshop(jpeg(), OTHERS + PATH_OF_A_CAT), "TIFF", "Photoshop paths"),
        (photo_tiff((34377, 1, len(PATH_OF_A_CAT), PATH_OF_A_CAT)), "JPEG", "Photoshop paths"),
        (png(scene(), 8, 2, before=chunk(b"tEXt", b"Title\0a cat")), "JPEG", "text fields"),
        (png(scene(), 8, 2, after=chunk(b"iTXt", b"Title" + bytes(5))), "TIFF", "text fields"),
        (png(scene(), 8, 2, before=chunk(b"cICP", b"\x09\x10\0\x01")), "WEBP", "colour coding"),
        (png(scene(), 8, 2, before=chunk(b"gAMA", b"\0\1\x86\xa0")), "JPEG", "colour coding"),
        (pillow(Image.fromarray(grey()), "PNG", icc_profile=GREY_ICC), "WEBP", "colour profile"),
    ],
)
def test_what_no_other_format_has_is_said(data: bytes, format: str, lost: str) -> None:
    with pytest.warns(UserWarning, match=f"is written without the photo's {lost}$"):
        encode_picture(changed(data), format)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "data",
    [
        with_photoshop(jpeg(), OTHERS),
        jpeg(exif=Image.Exif()),
        tiff(scene(), photometric="rgb", resolution=(300, 300)),
        png(scene(), 8, 2, before=chunk(b"gAMA", struct.pack(">I", 45455))),
        png(scene(), 8, 2, before=chunk(b"sRGB", b"\0") + chunk(b"gAMA", b"\0\1\x86\xa0")),
        png(scene(), 8, 2, before=chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1))),
    ],
)
def test_nothing_is_said_of_what_every_file_has(data: bytes) -> None:
    encode_picture(changed(data), "BMP")


def test_extended_xmp_is_said_to_be_lost() -> None:
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", 4, 0) + b"<x/>"
    data = jpeg(xmp=XMP % 1)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(more)) + more + data[2:]
    with pytest.warns(UserWarning, match="PNG is written without the photo's extended XMP"):
        encode_picture(changed(data), "PNG")
    assert more in encode_picture(changed(data), "JPEG")

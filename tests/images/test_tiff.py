from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from unsmear.errors import InputError
from unsmear.images import Picture, encode_picture, exif, read_picture

from .makers import CASES_BY_NAME, ICC, XMP, exif_block, grey, pillow, scene, tiff


def changed(picture: Picture) -> Picture:
    return picture.with_rgb(picture.max_value - picture.rgb, np.ones(picture.rgb.shape[:2], bool))


def page_of(data: bytes) -> tifffile.TiffPage:
    return tifffile.TiffFile(io.BytesIO(data)).pages.first


@pytest.mark.parametrize(
    "name",
    [name for name in CASES_BY_NAME if name.startswith("tiff") and name not in (
        "tiff-1-fax", "tiff-jpeg", "tiff-bigtiff")],
)  # fmt: skip
def test_storage_stays(name: str) -> None:
    data = CASES_BY_NAME[name].make()
    out = encode_picture(changed(read_picture(data)), "TIFF")
    before, after = page_of(data), page_of(out)
    for said in ("compression", "predictor", "photometric", "planarconfig", "bitspersample",
                 "samplesperpixel", "extrasamples", "is_tiled", "tilewidth", "tilelength",
                 "dtype"):  # fmt: skip
        assert getattr(after, said) == getattr(before, said), said
    assert out[:4] == data[:4]
    if before.colormap is not None:
        np.testing.assert_array_equal(after.colormap, before.colormap)


def test_descriptive_tags_stay() -> None:
    packet = XMP % 1
    data = tiff(
        scene(), photometric="rgb", iccprofile=ICC, resolution=((6001, 20), (5999, 20)),
        resolutionunit=2, software="a camera", description="a cat", datetime="2001:02:03 04:05:06",
        extratags=[(700, 1, len(packet), packet, True), (33723, 7, 5, b"iptc!", True),
                   (33550, 12, 3, (0.5, 0.5, 0.0), True)],
    )  # fmt: skip
    out = encode_picture(changed(read_picture(data)), "TIFF")
    before, after = page_of(data).tags, page_of(out).tags
    for tag in (270, 282, 283, 296, 305, 306, 700, 33723, 33550, 34675):
        assert after[tag].value == before[tag].value, tag
    with Image.open(io.BytesIO(out)) as image:
        assert image.info["dpi"] == pytest.approx((300.05, 299.95))
        assert image.info["icc_profile"] == ICC


def test_resolution_from_another_format() -> None:
    jpeg = pillow(Image.fromarray(scene()), "JPEG", dpi=(300, 300))
    with Image.open(io.BytesIO(encode_picture(read_picture(jpeg), "TIFF"))) as image:
        assert image.info["dpi"] == (300, 300)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bigtiff_says_as_much(order: str) -> None:
    options = {"photometric": "rgb", "byteorder": order, "iccprofile": ICC, "resolutionunit": 2}
    options["resolution"] = ((300, 1), (200, 1))
    packet = XMP % 6
    tags = [
        (274, 3, 1, 6, True),
        (271, 2, 0, "Kodachrome 64", True),
        (700, 1, len(packet), packet, True),
    ]
    big, classic = (
        read_picture(tiff(scene(), bigtiff=is_big, extratags=tags, **options))
        for is_big in (True, False)
    )
    assert big.size == classic.size == scene().shape[:2]
    assert big.metadata == classic.metadata
    after = page_of(encode_picture(changed(big), "TIFF")).tags
    assert after[271].value == "Kodachrome 64"
    assert after[282].value == (200, 1)


def test_exif_of_a_bigtiff() -> None:
    """A directory below the main one, named by a tag of a type that only BigTIFF has."""
    below = struct.pack("<QHHQQQ", 1, 37121, 7, 4, 0x00030201, 0)
    main = struct.pack("<QHHQQ", 2, 34665, 18, 1, 16) + struct.pack("<HHQQQ", 65000, 16, 1, 7, 0)
    block = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16 + len(below)) + below + main
    (found,) = exif.read_directories(block)
    assert not found.entries
    assert found.below[34665].entries[37121].data == b"\1\2\3\0"


@pytest.mark.parametrize("bigtiff", [False, True])
def test_several_pages(bigtiff: bool) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=bigtiff) as writer:
        writer.write(scene(), photometric="rgb", metadata=None)
        writer.write(255 - scene(), photometric="rgb", metadata=None)
    with pytest.warns(UserWarning, match="several pages: only the first one is used") as caught:
        picture = read_picture(out.getvalue())
    assert len(caught) == 1
    np.testing.assert_array_equal(picture.rgb, scene())
    with tifffile.TiffFile(io.BytesIO(encode_picture(changed(picture), "TIFF"))) as again:
        assert len(again.pages) == 1


def layered(order: str, key: bytes, size: int) -> bytes:
    """A TIFF as Photoshop writes it, with a block of layers of a size."""
    words = [b"8BIM", key] if order == ">" else [b"MIB8", key[::-1]]
    block = b"".join(words) + struct.pack(order + "I", size) + bytes(size)
    source = b"Adobe Photoshop Document Data Block\0" + block
    tag = (37724, 7, len(source), source, True)
    return tiff(scene(), photometric="rgb", byteorder=order, extratags=[tag])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("key", [b"Layr", b"Lr16", b"Lr32"])
def test_layers_are_told(order: str, key: bytes) -> None:
    data = layered(order, key, 40)
    with pytest.warns(UserWarning, match="has layers: only the picture they make is used"):
        picture = read_picture(data)
    assert b"Photoshop" not in encode_picture(changed(picture), "TIFF")
    with pytest.raises(InputError, match="layers, and only the picture they make would be left"):
        read_picture(data, whole=True)


@pytest.mark.filterwarnings("error")
def test_a_flattened_picture_has_no_layers() -> None:
    read_picture(layered("<", b"Layr", 0), whole=True)
    read_picture(layered(">", b"Patt", 40), whole=True)


@pytest.mark.filterwarnings("error")
def test_a_palette_of_few_bits_keeps_its_colours() -> None:
    colours = np.arange(48, dtype=np.uint16) * 1300 + 77  # not such as eight bits could say
    rows = np.random.default_rng(0).integers(0, 256, (37, 27), dtype=np.uint8)
    data = bytearray(tiff(rows, extratags=[(320, 3, 48, colours.tolist(), True)]))
    for tag, value in ((256, 53), (258, 4), (262, 3)):  # each byte holds two indices
        struct.pack_into("<H", data, page_of(bytes(data)).tags[tag].valueoffset, value)
    picture = read_picture(bytes(data))
    assert (picture.kind, picture.samples.bit_depth) == ("palette", 4)
    after = page_of(encode_picture(changed(picture), "TIFF"))
    assert after.colormap is not None
    np.testing.assert_array_equal(after.colormap[:, :16].ravel(), colours)


def test_primaries_and_white_point_stay() -> None:
    """Without a profile nothing else says what red, green and blue are."""
    white, primaries = (
        (3127, 10000, 3290, 10000),
        (64, 100, 33, 100, 21, 100, 71, 100, 15, 100, 6, 100),
    )
    tags = [(318, 5, 2, white, True), (319, 5, 6, primaries, True)]
    picture = read_picture(tiff(scene(), photometric="rgb", extratags=tags))
    after = page_of(encode_picture(changed(picture), "TIFF")).tags
    assert after[318].value == white
    assert after[319].value == primaries


def test_a_preview_page_is_no_second_page() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(scene(), photometric="rgb", metadata=None)
        writer.write(scene()[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
    read_picture(out.getvalue())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(scene().astype(np.float32), photometric="rgb"), "32 bits per sample, not whole"),
        (tiff(scene().astype(np.uint32), photometric="rgb"), "32 bits per sample"),
        (tiff(grey().astype(np.int16), photometric="minisblack"), "16 bits per sample, signed"),
        (tiff(np.dstack([scene()] * 2), photometric="rgb", extrasamples=[0, 0, 0]), "6 channels"),
        (tiff(scene(), photometric="cielab"), "colour space"),
        (tiff(grey(), photometric="minisblack", extratags=[(50706, 1, 4, b"\1\4\0\0", True)]),
         "camera raw file"),
    ],
)  # fmt: skip
def test_kinds_we_do_not_read(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_picture(data)


def test_turned_resolution() -> None:
    data = tiff(scene(), photometric="rgb", resolution=(300, 150), resolutionunit=2,
                extratags=[(274, 3, 1, 6, True)])  # fmt: skip
    picture = read_picture(data)
    assert picture.metadata.dpi == (150, 300)
    tags = page_of(encode_picture(changed(picture), "TIFF")).tags
    assert (tags[282].value, tags[283].value, tags[274].value) == ((150, 1), (300, 1), 1)


def test_exif_of_another_byte_order_is_used_as_it_is() -> None:
    jpeg = pillow(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0" + exif_block(1, ">"))
    assert encode_picture(read_picture(jpeg), "TIFF")[:2] == b"MM"


def test_many_values_where_one_belongs() -> None:
    data = bytearray(tiff(scene(), photometric="rgb"))
    entries = struct.unpack_from("<I", data, 4)[0] + 2
    assert struct.unpack_from("<H", data, entries)[0] in (254, 256)
    for at in range(entries, entries + 3 * 12, 12):
        tag = struct.unpack_from("<H", data, at)[0]
        if tag == 256:
            struct.pack_into("<HII", data, at + 2, 4, 255, 8)
        if tag == 257:
            struct.pack_into("<HII", data, at + 2, 4, 1, 4_000_000)
    with pytest.raises(InputError, match="damaged TIFF"):
        read_picture(bytes(data))

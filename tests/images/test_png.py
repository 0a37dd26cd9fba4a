from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from unsmear.images import Picture, encode_picture, exif, read_picture
from unsmear.images.metadata import Metadata

from .makers import ICC, XMP, chunk, exif_block, pillow, png, scene

SIDE_CHUNKS = (
    chunk(b"gAMA", struct.pack(">I", 45455))
    + chunk(b"iCCP", b"name\0\0" + zlib.compress(ICC, 3))
    + chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1))
    + chunk(b"tEXt", b"Title\0a cat")
    + chunk(b"eXIf", exif_block(1))
    + chunk(b"prVt", b"safe to copy")
)


def changed(picture: Picture) -> Picture:
    return picture.with_rgb(picture.max_value - picture.rgb, np.ones((37, 53), bool))


@pytest.mark.parametrize("depth", [8, 16])
def test_side_chunks_stay_byte_for_byte(depth: int) -> None:
    after = chunk(b"tEXt", b"Comment\0at the end")
    unsafe = chunk(b"prVT", b"speaks of pixels")
    values = scene(dtype=np.uint16 if depth == 16 else np.uint8)
    data = png(values, depth, 2, before=SIDE_CHUNKS + unsafe, after=after)
    picture = read_picture(data)
    assert picture.metadata.icc == ICC
    assert picture.metadata.exif == exif_block(1)
    assert picture.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    out = encode_picture(changed(picture), "PNG")
    assert SIDE_CHUNKS in out
    assert after in out
    assert unsafe not in out
    assert out.index(SIDE_CHUNKS) < out.index(b"IDAT") < out.index(after)
    with Image.open(io.BytesIO(out)) as image:
        assert image.info["icc_profile"] == ICC
        image.load()


def test_an_xmp_packet_is_no_text_field() -> None:
    packet = chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP % 1)
    assert read_picture(png(scene(), 8, 2, before=packet)).metadata.bound == ()


def raw_profile(name: bytes, block: bytes) -> bytes:
    """The text that ImageMagick, and all that write through exiv2, make of a block."""
    return b"\n%s\n%8d\n%s\n" % (name, len(block), block.hex("\n", -36).encode())


def field(name: bytes, keyword: bytes, text: bytes) -> bytes:
    """A text field."""
    if name == b"zTXt":
        text = b"\0" + zlib.compress(text)
    if name == b"iTXt":
        text = b"\1\0\0\0" + zlib.compress(text)
    return chunk(name, keyword + b"\0" + text)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize(
    ("name", "block"),
    [
        (b"exif", b"Exif\0\0" + exif_block(6)),
        (b"exif", exif_block(6)),
        (b"xmp", XMP % 6),
        (b"APP1", b"Exif\0\0" + exif_block(6)),
        (b"APP1", b"http://ns.adobe.com/xap/1.0/\0" + XMP % 6),
        (b"", XMP % 6),
    ],
)
def test_exif_and_xmp_inside_text_fields(name: bytes, block: bytes, kind: bytes) -> None:
    if name:
        held = field(kind, b"Raw profile type " + name, raw_profile(name, block))
    else:
        held = field(kind, b"XML:com.adobe.xmp", block)
    picture = read_picture(png(scene(), 8, 2, before=held))
    assert picture.size == (37, 53)
    if block.endswith(XMP % 6):
        assert picture.metadata == Metadata(xmp=XMP % 1)
    else:
        assert picture.metadata == Metadata(exif=exif.upright(exif_block(6), turned=6))
    out = encode_picture(picture.with_rgb(255 - picture.rgb, np.ones((53, 37), bool)), "PNG")
    assert held[4:20] in out, "the field is still of its kind"
    again = read_picture(out)
    assert again.metadata == picture.metadata
    np.testing.assert_array_equal(again.rgb, 255 - picture.rgb)


def test_exif_of_its_own_counts_more_than_that_inside_a_text_field() -> None:
    raw = raw_profile(b"exif", exif_block(6))
    held = field(b"zTXt", b"Raw profile type exif", raw) + chunk(b"eXIf", exif_block(1))
    assert read_picture(png(scene(), 8, 2, before=held)).size == (53, 37)


def test_resolution_turns_with_the_picture() -> None:
    sides = chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1)) + chunk(b"eXIf", exif_block(6))
    picture = read_picture(png(scene(), 8, 2, before=sides))
    assert picture.metadata.dpi == pytest.approx((150, 300), abs=0.02)
    turned = picture.with_rgb(255 - picture.rgb, np.ones((53, 37), bool))
    assert struct.pack(">IIB", 5906, 11811, 1) in encode_picture(turned, "PNG")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [(37, 53), (1, 1), (2, 3), (5, 4)])
def test_sixteen_bits_are_all_there(
    size: tuple[int, int], interlaced: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (*size, 4), dtype=np.uint16)
    picture = read_picture(png(values, 16, 6, interlaced=interlaced))
    np.testing.assert_array_equal(picture.rgb, values[..., :3])
    np.testing.assert_array_equal(picture.alpha, values[..., 3])
    assert capfd.readouterr() == ("", "")


def test_metadata_from_another_format() -> None:
    jpeg = pillow(
        Image.fromarray(scene()), "JPEG", icc_profile=ICC, exif=b"Exif\0\0" + exif_block(1),
        xmp=XMP % 1, dpi=(300, 300),
    )  # fmt: skip
    with Image.open(io.BytesIO(encode_picture(read_picture(jpeg), "PNG"))) as image:
        image.load()
        assert image.info["icc_profile"] == ICC
        assert image.info["exif"].removeprefix(b"Exif\0\0") == exif_block(1)
        assert image.info["xmp"] == XMP % 1
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)


@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"iCCP", b"no end"),
        chunk(b"iCCP", b"x\0\0not zlib"),
        chunk(b"iCCP", b""),
        chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(100_000_000))),
        chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(100_000_000))),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(100_000_000))),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 4\nno digits"),
        chunk(b"tEXt", b"Raw profile type xmp\0"),
        chunk(b"eXIf", b"nonsense"),
        chunk(b"pHYs", b"x"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0junk"),
        chunk(b"gAMA", b""),
        chunk(b"tRNS", b""),
    ],
)
def test_broken_side_chunks_do_not_stop_the_picture(broken: bytes) -> None:
    picture = read_picture(png(scene(), 8, 2, before=broken))
    np.testing.assert_array_equal(picture.rgb, scene())
    again = read_picture(encode_picture(changed(picture), "PNG"))
    np.testing.assert_array_equal(again.rgb, 255 - scene())


def test_animated_png() -> None:
    out = io.BytesIO()
    frames = [Image.fromarray(scene()), Image.fromarray(255 - scene())]
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="several frames: only the first one is used"):
        picture = read_picture(out.getvalue())
    np.testing.assert_array_equal(picture.rgb, scene())
    written = encode_picture(changed(picture), "PNG")
    assert b"acTL" not in written
    assert b"fdAT" not in written

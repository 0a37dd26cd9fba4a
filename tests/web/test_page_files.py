import base64
import io

import numpy as np
import pytest
from PIL import Image

from unsmear.web.page_files import clean_name, kind_of, map_picture, read_mask, result_name
from unsmear.web.problems import UnsupportedError, UnusableError

TURNED_XMP = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'


def file(format: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (20, 16)).save(out, format, **options)
    return out.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_what_browsers_show_is_shown_as_it_is(format: str) -> None:
    kind = kind_of(file(format), "a")
    assert (kind.format, kind.is_viewable, kind.reencoded) == (format, True, None)


def test_what_they_do_not_show_or_show_in_wrong_colours_is_not() -> None:
    assert not kind_of(file("TIFF"), "a").is_viewable
    assert not kind_of(file("JPEG", "CMYK"), "a").is_viewable


def test_what_they_would_show_lying_on_its_side_is_not_shown_as_it_is() -> None:
    assert kind_of(file("JPEG", exif=turned(6)), "a").is_viewable
    assert not kind_of(file("JPEG", xmp=TURNED_XMP), "a").is_viewable
    assert kind_of(file("WEBP", exif=turned(1)), "a").is_viewable
    assert not kind_of(file("WEBP", exif=turned(6)), "a").is_viewable
    assert not kind_of(file("WEBP", xmp=TURNED_XMP), "a").is_viewable
    cut = file("WEBP", exif=turned(6))[:-20]
    assert kind_of(cut, "a").is_viewable  # whether it is damaged, the engine says


def test_jpegs_that_must_be_encoded_anew_are_told() -> None:
    arithmetic = file("JPEG").replace(b"\xff\xc0", b"\xff\xc9")
    assert kind_of(arithmetic, "a").reencoded == "arithmetically coded"
    assert kind_of(file("JPEG", progressive=True), "a").reencoded is None
    assert kind_of(file("JPEG", exif=turned(6)), "a").reencoded == "turned by its EXIF tag"
    assert kind_of(file("JPEG", xmp=TURNED_XMP), "a").reencoded == "turned by its XMP"
    assert kind_of(file("JPEG", exif=turned(1)), "a").reencoded is None


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"hello", "a.png", "a.png is not a picture"),
        (b"", "a.png", "a.png is empty"),
        (b"\0\0\0\x18ftypheic", "a.heic", "a.heic is a HEIC picture"),
        (file("TIFF"), "a.dng", "a.dng is a camera raw file"),
        (b"\xff\xd8\xff\xe0", "a.jpg", "a.jpg ends before"),
    ],
)
def test_other_files_are_refused_by_name(data: bytes, name: str, said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        kind_of(data, name)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.png", "a.png"),
        ("a\r\nSet-Cookie: b.png", "aSet-Cookie: b.png"),
        ("Grüße.tif", "Grüße.tif"),
        ("..", "photo"),
        ("", "photo"),
        ("a" * 500 + ".jpg", "a" * 116 + ".jpg"),
    ],
)
def test_names_are_made_harmless(said: str, name: str) -> None:
    assert clean_name(said) == name


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("a.JPG", "a.unsmeared.JPG"),
        ("a.b.jpeg", "a.b.unsmeared.jpeg"),
        ("a.png", "a.unsmeared.jpg"),
        ("photo", "photo.unsmeared.jpg"),
    ],
)
def test_results_are_called_after_their_photo_and_content(name: str, result: str) -> None:
    assert result_name(name, kind_of(file("JPEG"), name)) == result


def test_the_map_is_as_opaque_as_sure() -> None:
    blur_map = np.arange(200, dtype=np.uint8).reshape(10, 20)
    shown = np.asarray(Image.open(io.BytesIO(map_picture(blur_map))))
    assert np.array_equal(shown[..., 1], blur_map)
    large = Image.open(io.BytesIO(map_picture(np.zeros((1000, 4000), np.uint8))))
    assert large.size == (1536, 384)


def test_a_painted_mask_is_stretched_over_the_picture() -> None:
    painted = np.random.default_rng(0).random((9, 14)) > 0.5
    bits = base64.b64encode(np.packbits(painted)).decode()
    assert np.array_equal(read_mask(bits, (14, 9), (14, 9)), painted)
    stretched = read_mask(bits, (14, 9), (42, 27))
    assert np.array_equal(stretched, painted.repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(
    ("bits", "size", "picture"),
    [
        ("????", (4, 4), (4, 4)),
        ("AAA=", (4, 8), (4, 8)),
        ("", (0, 0), (4, 4)),
        ("AAA=", (4, 4), (0, 0)),
        ("AAA=", (16, 1), (-4, 4)),
        ("A" * 400_000, (1_200_000, 2), (4, 4)),
    ],
)
def test_masks_that_did_not_arrive_whole_are_refused(
    bits: str, size: tuple[int, int], picture: tuple[int, int]
) -> None:
    with pytest.raises(UnusableError, match="paint it again"):
        read_mask(bits, size, picture)

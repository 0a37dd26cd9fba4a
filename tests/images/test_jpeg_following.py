from __future__ import annotations

import io
import struct
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from unsmear.errors import InputError
from unsmear.images import Picture, encode_picture, read_picture
from unsmear.images.jpeg_segments import picture_end, split

from .makers import exif_block, pillow, scene

FILM = b"\0\0\0\x18ftypmp42 \xff\xd8\xff\xd9 and more"
FURTHER = [255 - scene(), scene(24, 32)]


def changed(picture: Picture) -> Picture:
    touched = np.zeros(picture.rgb.shape[:2], bool)
    touched[:4, :4] = True
    return picture.with_rgb(255 - picture.rgb, touched)


def several(orientation: int = 1, **options: object) -> bytes:
    """A phone's JPEG, with further pictures behind the first."""
    return pillow(
        Image.fromarray(scene(40, 56)), "MPO", save_all=True, quality=90,
        append_images=[Image.fromarray(each) for each in FURTHER],
        exif=b"Exif\0\0" + exif_block(orientation), **options,
    )  # fmt: skip


def frames(data: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(data)) as image:
        return [
            np.array(image.convert("RGB"))
            for at in range(getattr(image, "n_frames", 1))
            if image.seek(at) is None
        ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("behind", [b"", FILM])
def test_further_pictures_are_found_behind_the_changed_one(
    progressive: bool, behind: bytes
) -> None:
    data = several(progressive=progressive) + behind
    picture = changed(read_picture(data))
    written = encode_picture(picture, "JPEG")
    assert len(written) != len(data)
    for before, after in zip(frames(data)[1:], frames(written)[1:], strict=True):
        np.testing.assert_array_equal(after, before)
    assert (frames(written)[0] != frames(data)[0]).any()
    assert written.endswith(behind)
    # What the index says of the first picture's length.
    _, scan = split(written)
    at = written.index(b"MPF\0")
    assert struct.pack("<I", picture_end(written, scan)) in written[at : at + 120]
    again = encode_picture(changed(read_picture(written)), "JPEG")
    assert len(frames(again)) == 3


HDR_AS_PHONES_WRITE_IT = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
  xmlns:Container="http://ns.google.com/photos/1.0/container/"
  xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
  xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0">
 <Container:Directory><rdf:Seq>
  <rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary"/></rdf:li>
  <rdf:li rdf:parseType="Resource"><Container:Item Item:Length="9"
   Item:Semantic="GainMap"/></rdf:li>
  <rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="MotionPhoto"/></rdf:li>
 </rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"""
HDR_AS_EXIFTOOL_WRITES_IT = b"""<x:xmpmeta xmlns:x='adobe:ns:meta/'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about=''
  xmlns:Container='http://ns.google.com/photos/1.0/container/'
  xmlns:Item='http://ns.google.com/photos/1.0/container/item/'
  xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/'>
 <hdrgm:Version>1.0</hdrgm:Version>
 <Container:Directory><rdf:Seq>
  <rdf:li rdf:parseType='Resource'><Container:Item rdf:parseType='Resource'>
   <Item:Semantic>Primary</Item:Semantic></Container:Item></rdf:li>
  <rdf:li rdf:parseType='Resource'><Container:Item rdf:parseType='Resource'>
   <Item:Length>9</Item:Length><Item:Semantic>GainMap</Item:Semantic></Container:Item></rdf:li>
  <rdf:li rdf:parseType='Resource'><Container:Item rdf:parseType='Resource'>
   <Item:Semantic>MotionPhoto</Item:Semantic></Container:Item></rdf:li>
 </rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"""
ISO_GAIN_MAP = b"\xff\xe2\0\x22urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"


@pytest.mark.filterwarnings("ignore:.*several pictures")
@pytest.mark.parametrize("packet", [HDR_AS_PHONES_WRITE_IT, HDR_AS_EXIFTOOL_WRITES_IT])
def test_a_gain_map_that_is_lost_is_not_spoken_of(packet: bytes) -> None:
    def hdr(orientation: int) -> Picture:
        data = several(orientation, xmp=packet)
        return changed(read_picture(data[:2] + ISO_GAIN_MAP + data[2:]))

    upright = encode_picture(hdr(1), "JPEG")
    assert packet in upright
    assert ISO_GAIN_MAP in upright
    turned = encode_picture(hdr(6), "JPEG")
    assert ISO_GAIN_MAP not in turned
    with pytest.warns(UserWarning, match="without the photo's further pictures"):
        other = encode_picture(hdr(1), "PNG")
    for written in (turned, other):
        kept = read_picture(written).metadata.xmp
        assert kept is not None
        ElementTree.fromstring(kept)
        assert b"GainMap" not in kept
        assert b"hdrgm:Version" not in kept
        assert b"MotionPhoto" in kept
        assert kept.count(b"<rdf:li") == 2


def test_a_film_stays_behind_a_turned_picture_and_further_pictures_do_not() -> None:
    data = several(orientation=6) + FILM
    with pytest.warns(UserWarning, match="several pictures: only the first one is used") as caught:
        picture = read_picture(data)
    assert len(caught) == 1
    written = encode_picture(changed(picture), "JPEG")
    assert b"MPF\0" not in written
    assert len(frames(written)) == 1
    _, scan = split(written)
    assert written[picture_end(written, scan) :] == FILM
    with pytest.raises(InputError, match="several pictures"):
        read_picture(data, whole=True)


@pytest.mark.parametrize(
    ("behind", "lost"),
    [(b"", "EXIF"), (FILM, "film"), (b"SEFT of a phone", "trailing data"), (bytes(9), "EXIF")],
)
def test_what_another_format_loses_is_said(behind: bytes, lost: str) -> None:
    data = pillow(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0" + exif_block())
    with pytest.warns(UserWarning, match=f"without the photo's .*{lost}$"):
        encode_picture(read_picture(data + behind), "BMP")


def test_further_pictures_and_a_film_are_said_to_be_lost() -> None:
    with pytest.warns(UserWarning, match="PNG is written without .*further pictures and film"):
        encode_picture(read_picture(several() + FILM), "PNG")


@pytest.mark.filterwarnings("error")
def test_an_index_of_pictures_that_are_gone() -> None:
    data = several()
    _, scan = split(data)
    alone = data[: picture_end(data, scan)]
    written = encode_picture(changed(read_picture(alone, whole=True)), "JPEG")
    _, scan = split(written)
    assert picture_end(written, scan) == len(written)
    encode_picture(read_picture(alone), "PNG")


@pytest.mark.filterwarnings("error")
def test_a_broken_index_stays_as_it_is() -> None:
    data = bytearray(several())
    at = data.index(b"MPF\0") + 4
    for broken in (b"\xff" * 4, struct.pack("<I", 1 << 20), struct.pack("<I", 9)):
        data[at + 4 : at + 8] = broken
        encode_picture(changed(read_picture(bytes(data))), "JPEG")

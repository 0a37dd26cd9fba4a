"""What a JPEG's segments say besides the picture, and what of it is written again."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence

from unsmear.images import exif
from unsmear.images.iptc import has_paths, iptc_in, resources_of, without_previews
from unsmear.images.jpeg_following import is_index, speaks_of_gain_map, without_gain_map
from unsmear.images.jpeg_segments import APP0, APP1, APP2, APP13, APP14, COM, Segment
from unsmear.images.metadata import Metadata, upright_xmp
from unsmear.images.samples import Kind

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_ICC, _PHOTOSHOP = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_MAX_PAYLOAD = 65533


def carried_segments(segments: Sequence[Segment], orientation: int) -> tuple[Segment, ...]:
    """The segments to write again: all but the encoding's own and small previews."""
    kept: list[Segment] = []
    # Further pictures would lie on their sides.
    lose_further = orientation != 1 and any(map(is_index, segments))
    resources = without_previews(_resources_in(segments))
    for segment in segments:
        marker, payload = segment.marker, segment.payload
        if not (APP0 <= marker <= 0xEF or marker == COM):
            continue
        if is_adobe(segment):
            continue  # says how colours are coded; the encoder writes its own
        if marker == APP0 and payload.startswith(b"JFXX\0"):
            continue  # a small preview, which shows what the picture was
        if lose_further and (is_index(segment) or speaks_of_gain_map(segment)):
            continue
        if marker == APP1 and payload.startswith(_EXIF):
            payload = _EXIF + exif.upright(payload[len(_EXIF) :], orientation)
        elif marker == APP1 and payload.startswith(_XMP):
            payload = upright_xmp(without_gain_map(payload) if lose_further else payload)
        elif marker == APP13 and payload.startswith(_PHOTOSHOP):
            room = len(payload) - len(_PHOTOSHOP)
            payload, resources = _PHOTOSHOP + resources[:room], resources[room:]
            if payload == _PHOTOSHOP:
                continue
        elif marker == APP0 and payload.startswith(b"JFIF\0") and orientation >= 5:
            payload = payload[:8] + payload[10:12] + payload[8:10] + payload[12:]
        kept.append(Segment(marker, payload))
    return tuple(kept)


def metadata_in(segments: Sequence[Segment]) -> Metadata:
    """What the file carries beside its pixels, each None where it has none."""
    block = _first(segments, APP1, _EXIF)
    dpi = None
    jfif = _first(segments, APP0, b"JFIF\0")
    if jfif is not None and len(jfif) >= 7:
        unit, across, down = struct.unpack_from(">BHH", jfif, 2)
        per_inch = {1: 1.0, 2: 2.54}.get(unit)
        if per_inch and across and down:
            dpi = (across * per_inch, down * per_inch)
    if dpi is None and block is not None:
        dpi = exif.resolution(block)
    bound = []
    if any(each.marker == COM and each.payload.strip(b"\0 ") for each in segments):
        bound.append("comment")
    if _first(segments, APP1, _MORE_XMP) is not None:
        bound.append("extended XMP")
    resources = _resources_in(segments)
    if has_paths(resources):
        bound.append("Photoshop paths")
    return Metadata(
        icc=_profile_of(segments),
        exif=block,
        xmp=_first(segments, APP1, _XMP),
        dpi=dpi,
        iptc=iptc_in(resources),
        bound=tuple(bound),
    )


def _first(segments: Sequence[Segment], marker: int, prefix: bytes) -> bytes | None:
    for segment in segments:
        if segment.marker == marker and segment.payload.startswith(prefix):
            return segment.payload[len(prefix) :]
    return None


def _resources_in(segments: Sequence[Segment]) -> bytes:
    """Photoshop's resources, which go on in the next segment where one is too short for them."""
    return b"".join(
        each.payload[len(_PHOTOSHOP) :]
        for each in segments
        if each.marker == APP13 and each.payload.startswith(_PHOTOSHOP)
    )


def _profile_of(segments: Sequence[Segment]) -> bytes | None:
    """The colour profile put together from its numbered pieces; None when a piece is missing."""
    pieces: dict[int, bytes] = {}
    total = 0
    for segment in segments:
        payload = segment.payload
        if segment.marker == APP2 and payload.startswith(_ICC) and len(payload) > 14:
            pieces[payload[12]] = payload[14:]
            total = payload[13]
    if not pieces or sorted(pieces) != list(range(1, total + 1)):
        return None
    return b"".join(pieces[number] for number in sorted(pieces))


def stores_rgb(segments: Sequence[Segment], component_ids: list[int]) -> bool:
    """Whether the components are red, green and blue, by the rule that libjpeg decodes by."""
    if len(component_ids) != 3 or _first(segments, APP0, b"JFIF\0") is not None:
        return False
    transform = adobe_transform(segments)
    return bytes(component_ids) == b"RGB" if transform is None else transform == 0


def is_adobe(segment: Segment) -> bool:
    """Whether it is Adobe's, which says how the colours are coded."""
    return segment.marker == APP14 and segment.payload.startswith(b"Adobe")


def adobe_transform(segments: Sequence[Segment]) -> int | None:
    """What Adobe's segment says of the colours: 0 stored as they are, 1 YCbCr, 2 YCCK."""
    adobe = _first(segments, APP14, b"Adobe")
    return adobe[6] if adobe is not None and len(adobe) >= 7 else None


def segments_from(metadata: Metadata, kind: Kind) -> tuple[Segment, ...]:
    """Segments for a picture that comes from another format."""
    segments: list[Segment] = []
    if kind != "cmyk":
        across, down = (max(1, min(65535, round(d))) for d in metadata.dpi or (1, 1))
        jfif = struct.pack(">HBHHBB", 0x0102, int(metadata.dpi is not None), across, down, 0, 0)
        segments.append(Segment(APP0, b"JFIF\0" + jfif))
    resources = metadata.iptc and resources_of(metadata.iptc)
    for what, marker, prefix, block in (
        ("EXIF", APP1, _EXIF, metadata.exif),
        ("XMP", APP1, _XMP, metadata.xmp),
        ("IPTC", APP13, _PHOTOSHOP, resources),
    ):
        if block is None:
            continue
        if len(prefix) + len(block) > _MAX_PAYLOAD:
            warnings.warn(f"its {what} data is too large for JPEG and is left out", stacklevel=2)
            continue
        segments.append(Segment(marker, prefix + block))
    profile = metadata.icc_for(kind)
    if profile is not None:
        step = _MAX_PAYLOAD - 14
        pieces = [profile[at : at + step] for at in range(0, len(profile), step)]
        if len(pieces) < 256:
            segments.extend(
                Segment(APP2, _ICC + bytes((number, len(pieces))) + piece)
                for number, piece in enumerate(pieces, start=1)
            )
    return tuple(segments)

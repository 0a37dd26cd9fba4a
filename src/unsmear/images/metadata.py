"""What a picture carries beside its pixels, in the terms all formats share."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from unsmear.images import exif as exif_block

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([1-8])(?=\s*[\"'<])")
_NAMES = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP", "iptc": "IPTC captions"}
_COLOUR_SPACES = {"grey": b"GRAY", "rgb": b"RGB ", "palette": b"RGB ", "cmyk": b"CMYK"}


@dataclass(frozen=True)
class Metadata:
    """Blocks copied from file to file.

    Attributes:
        icc: The colour profile.
        exif: The EXIF block, from its byte order mark on, without JPEG's "Exif" prefix.
        xmp: The XMP packet.
        dpi: Dots per inch, across and down; None also where a file says nonsense.
        iptc: The IPTC data: captions, keywords, bylines.
        bound: What else the file holds that goes into no file of another format, in words.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    bound: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dpi is not None and not all(0.01 <= dots <= 1e5 for dots in self.dpi):
            object.__setattr__(self, "dpi", None)

    @property
    def orientation(self) -> int:
        """How the stored pixels must be turned, 1..8; EXIF is asked first, then XMP."""
        if self.exif is not None and (said := exif_block.orientation(self.exif)) is not None:
            return said
        if self.xmp is not None and (found := _XMP_ORIENTATION.search(self.xmp)) is not None:
            return int(found[2])
        return 1

    def upright(self) -> Metadata:
        """The metadata of the same picture once its pixels have been turned."""
        turned = self.orientation
        dpi = self.dpi if self.dpi is None or turned < 5 else (self.dpi[1], self.dpi[0])
        return replace(
            self,
            exif=None if self.exif is None else exif_block.upright(self.exif, turned),
            xmp=None if self.xmp is None else upright_xmp(self.xmp),
            dpi=dpi,
        )

    def lost_in(self, held: Collection[str]) -> str:
        """What a file of another format will not have, as a list in words; empty for nothing.

        Args:
            held: Those of the attributes `icc`, `exif`, `xmp` and `iptc` that the format has.
        """
        lost = [name for each, name in _NAMES.items() if each not in held and getattr(self, each)]
        if self.exif is not None and "exif" not in held and exif_block.is_bare(self.exif):
            lost.remove(_NAMES["exif"])
        *most, last = [*lost, *self.bound] or [""]
        return f"{', '.join(most)} and {last}" if most else last

    def icc_for(self, kind: str) -> bytes | None:
        """The colour profile if it speaks of such pixels: a CMYK profile says nothing about RGB.

        Args:
            kind: The kind of the samples to be written.
        """
        if self.icc is None:
            return None
        stated = self.icc[16:20]
        known = stated in _COLOUR_SPACES.values()
        return self.icc if not known or stated == _COLOUR_SPACES[kind] else None


def upright_xmp(packet: bytes) -> bytes:
    """Say in an XMP packet that the pixels are upright; nothing else changes."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)

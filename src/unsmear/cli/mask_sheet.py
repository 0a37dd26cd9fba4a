"""A contact sheet of blur masks: blurred, sharp, and the mask laid over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

from unsmear.data.sources import Pair
from unsmear.images import Picture, write_picture

THUMBNAIL = (320, 240)
GAP = 8
CAPTION = 22
COLUMNS = 2
# A page of so many pairs is looked over at once, and stays far below what JPEG can hold.
PAIRS_ON_A_PAGE = 40
FOUND, GIVEN = (255, 40, 40), (0, 200, 255)


def sheet_pages(path: Path, pairs: int) -> list[Path]:
    """The files that a sheet of so many pairs fills: sheet.jpg, sheet-2.jpg, ..."""
    others = range(2, math.ceil(pairs / PAIRS_ON_A_PAGE) + 1)
    return [path, *(path.with_name(f"{path.stem}-{number}{path.suffix}") for number in others)]


class MaskSheet:
    """Collects pairs and writes a page whenever it is full.

    Args:
        places: files of the pages, see :func:`sheet_pages`; their ending decides the format.
        overwrite: whether pages that are there may be replaced.

    Attributes:
        pages: the pages written.
    """

    def __init__(self, places: Sequence[Path], *, overwrite: bool) -> None:
        self.pages: list[Path] = []
        self._places = places
        self._overwrite = overwrite
        self._rows: list[Image.Image] = []

    def add(self, pair: Pair, mask: Tensor, caption: str) -> None:
        """Add a pair and its [1, H, W] mask; a mask the pair has is drawn as a blue outline.

        Raises:
            OutputError: a page cannot be written.
        """
        self._rows.append(_row(pair, mask, caption))
        if len(self._rows) == PAIRS_ON_A_PAGE:
            self.finish()

    def finish(self) -> None:
        """Write what has been added since the last page.

        Raises:
            OutputError: the page cannot be written.
        """
        if not self._rows:
            return
        path = self._places[len(self.pages)]
        page = Picture.from_array(np.asarray(_page(self._rows)))
        write_picture(page, path, overwrite=self._overwrite)
        self.pages.append(path)
        self._rows = []


def _row(pair: Pair, mask: Tensor, caption: str) -> Image.Image:
    blurred, sharp = (_thumbnail(_image(each)) for each in (pair.blurred, pair.sharp))
    overlaid = _paint(blurred, mask, FOUND, tint=0.35)
    if pair.blur_mask is not None:
        overlaid = _paint(overlaid, pair.blur_mask, GIVEN, tint=0.0)
    thumbnails = (blurred, sharp, overlaid)
    width = sum(each.width + GAP for each in thumbnails)
    row = Image.new("RGB", (width, blurred.height + CAPTION + GAP), "white")
    ImageDraw.Draw(row).text((0, 4), caption, fill="black", font=ImageFont.load_default(13))
    for index, each in enumerate(thumbnails):
        row.paste(each, (index * (each.width + GAP), CAPTION))
    return row


def _page(rows: list[Image.Image]) -> Image.Image:
    columns = min(COLUMNS, len(rows))
    width = max(row.width for row in rows) + GAP
    lines = [rows[start : start + columns] for start in range(0, len(rows), columns)]
    heights = [max(row.height for row in line) for line in lines]
    page = Image.new("RGB", (columns * width + GAP, sum(heights) + GAP), "white")
    top = GAP
    for line, height in zip(lines, heights, strict=True):
        for column, row in enumerate(line):
            page.paste(row, (GAP + column * width, top))
        top += height
    return page


def _image(picture: Tensor) -> Image.Image:
    """[3, H, W] or [1, H, W] uint8 -> RGB or grey."""
    pixels = picture.permute(1, 2, 0).numpy()
    return Image.fromarray(
        np.ascontiguousarray(pixels.squeeze(-1) if len(picture) == 1 else pixels)
    )


def _thumbnail(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail(THUMBNAIL)
    return small


def _paint(
    image: Image.Image, mask: Tensor, colour: tuple[int, int, int], *, tint: float
) -> Image.Image:
    """Outline a mask [1, H, W] of 0 and 1 on its picture's thumbnail, and tint what is inside."""
    # The mean of the pixels a thumbnail's pixel stands for, so that thin parts are not lost.
    small = _image(mask * 255).resize(image.size, Image.Resampling.BOX)
    small = small.point([0] * 64 + [255] * 192)
    inner = np.asarray(small.filter(ImageFilter.MinFilter(3))) > 0
    marked = np.asarray(small) > 0
    weight = np.where(marked & ~inner, 1.0, tint * marked)[..., None]
    return Image.fromarray(
        (np.asarray(image) * (1 - weight) + np.array(colour) * weight).round().astype(np.uint8)
    )

"""The demo's one picture: what came in, what was found, what came out, and a closer look."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 8
CAPTION = 26
ZOOM = 2


def panel(
    blurred: np.ndarray,
    blur_map: np.ndarray,
    restored: np.ndarray,
    sharp: np.ndarray,
    detail: tuple[int, int, int, int],
) -> np.ndarray:
    """Arrange pictures with captions.

    Args:
        blurred: (H, W, 3) uint8.
        blur_map: (H, W) uint8.
        restored: like `blurred`.
        sharp: like `blurred`.
        detail: x, y, width, height of the part to enlarge.

    Returns:
        (height, width, 3) uint8.
    """
    whole = [
        ("blurred", Image.fromarray(blurred)),
        ("what moved: the blur map", Image.fromarray(blur_map).convert("RGB")),
        ("restored", Image.fromarray(restored)),
    ]
    closer = [
        ("blurred", _enlarged(blurred, detail)),
        ("restored", _enlarged(restored, detail)),
        ("as it was before it moved", _enlarged(sharp, detail)),
    ]
    rows = [row(whole), row(closer)]
    sheet = Image.new("RGB", (max(each.width for each in rows), sum(each.height for each in rows)))
    sheet.paste("white", (0, 0, *sheet.size))
    top = 0
    for each in rows:
        sheet.paste(each, ((sheet.width - each.width) // 2, top))
        top += each.height
    return np.asarray(sheet)


def _enlarged(pixels: np.ndarray, detail: tuple[int, int, int, int]) -> Image.Image:
    x, y, width, height = detail
    cut = Image.fromarray(pixels).crop((x, y, x + width, y + height))
    return cut.resize((ZOOM * width, ZOOM * height), Image.Resampling.BICUBIC)


def row(pictures: list[tuple[str, Image.Image]]) -> Image.Image:
    """Arrange pictures beside each other, each under its caption."""
    width = sum(picture.width + GAP for _, picture in pictures) + GAP
    height = max(picture.height for _, picture in pictures) + CAPTION + GAP
    made = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(made), ImageFont.load_default(15)
    left = GAP
    for caption, picture in pictures:
        draw.text((left, 6), caption, fill="black", font=font)
        made.paste(picture, (left, CAPTION))
        left += picture.width + GAP
    return made

"""Pictures for the report: the worst of a run, small enough for a page."""

from __future__ import annotations

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from unsmear.evaluation.restorer import Answer
from unsmear.evaluation.run import ImageFigures
from unsmear.evaluation.samples import Sample

WORST = 10
LARGEST = 1280  # px, longer side of a picture
THUMBNAIL = 320  # px, longer side of a map
AMPLIFIED = 5  # times that differences are shown larger than they are
# Of a map: pruned and sharp, kept and blurred, kept though sharp, pruned though blurred.
COLOURS = ((24, 26, 30), (245, 245, 245), (240, 170, 60), (220, 50, 50))


class Shown(NamedTuple):
    """One picture of an exhibit.

    Attributes:
        caption: what it is.
        uri: the picture itself, as a data URI.
    """

    caption: str
    uri: str


class Exhibit(NamedTuple):
    """What a report shows of one pair.

    Attributes:
        figures: its figures.
        pictures: input, restored, sharp, difference.
        maps: the blur mask and what each predictor kept.
    """

    figures: ImageFigures
    pictures: tuple[Shown, ...]
    maps: tuple[Shown, ...]


class Gallery:
    """Keeps the pictures that gained least; given to :func:`evaluate` to watch.

    Args:
        most: how many to keep.

    Attributes:
        exhibits: the worst first.
    """

    def __init__(self, most: int = WORST) -> None:
        self.most = most
        self.exhibits: list[Exhibit] = []

    def __call__(
        self, sample: Sample, restored: Tensor, answer: Answer, figures: ImageFigures
    ) -> None:
        """Look at a restored picture, and keep it where it is among the worst so far."""
        full = len(self.exhibits) == self.most
        if full and badness(figures) >= badness(self.exhibits[-1].figures):
            return
        kept = [*self.exhibits, exhibit(sample, restored, answer, figures)]
        self.exhibits = sorted(kept, key=lambda each: badness(each.figures))[: self.most]


def badness(figures: ImageFigures) -> float:
    """What to sort by, the worst first: the gain, and last where there is none to speak of."""
    return math.inf if math.isnan(figures.gain) else figures.gain


def exhibit(sample: Sample, restored: Tensor, answer: Answer, figures: ImageFigures) -> Exhibit:
    """Make the pictures of one pair."""
    difference = ((restored - sample.sharp).abs() * AMPLIFIED).clamp(max=1)
    pictures = {
        "input": sample.blurred,
        "restored": restored,
        "sharp": sample.sharp,
        f"restored - sharp, x{AMPLIFIED}": difference,
    }
    return Exhibit(
        figures,
        tuple(Shown(caption, _jpeg(picture)) for caption, picture in pictures.items()),
        tuple(_maps(sample, answer)),
    )


def _maps(sample: Sample, answer: Answer) -> list[Shown]:
    height, width = sample.blurred.shape[-2:]
    blurred = None if sample.blur_mask is None else sample.blur_mask[0, 0].numpy() > 0
    maps = [] if blurred is None else [Shown("blur mask", _png(blurred.astype(np.uint8)))]
    for decision in answer.decisions:
        pixels = decision.pixels(height, width)
        shifted = ", shifted" if decision.shift else ""
        caption = f"stage {decision.stage}{shifted}: {decision.kept:.0%} kept"
        maps.append(Shown(caption, _png(_coloured(pixels[0, 0].numpy(), blurred))))
    return maps


def _coloured(kept: np.ndarray, blurred: np.ndarray | None) -> np.ndarray:
    """Numbers of :data:`COLOURS` (H, W) for bool maps (H, W)."""
    if blurred is None:
        return kept.astype(np.uint8)
    return np.select([kept & blurred, kept, blurred], [1, 2, 3], 0).astype(np.uint8)


def _jpeg(picture: Tensor) -> str:
    pixels = (picture[0].permute(1, 2, 0) * 255).round().byte().numpy()
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return _uri(image, "JPEG", quality=90)


def _png(numbers: np.ndarray) -> str:
    image = Image.fromarray(numbers, mode="P")
    image.putpalette([value for colour in COLOURS for value in colour])
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
    return _uri(image, "PNG", optimize=True)


def _uri(image: Image.Image, format: str, **options: int) -> str:
    file = io.BytesIO()
    image.save(file, format, **options)
    coded = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/{format.lower()};base64,{coded}"

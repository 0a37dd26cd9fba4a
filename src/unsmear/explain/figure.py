"""A figure, and those that every network has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from unsmear.explain.colours import pixels, spread

FACTORS = (50, 20, 10, 5, 2)


class Figure(NamedTuple):
    """A picture of something that happened.

    Attributes:
        name: of its file, without an ending; no two figures of a page share one.
        title: what it shows.
        caption: how to read it: what light and dark mean, units, counts.
        picture: (H, W, 3) uint8, in the photo's size.
        section: the heading it stands under.
    """

    name: str
    title: str
    caption: str
    picture: np.ndarray
    section: str


def before_and_after(photo: Tensor, restored: Tensor) -> list[Figure]:
    """Input, result and the difference of the two, all [1, 3, H, W]."""
    change = restored.clamp(0, 1) - photo
    factor = _amplification(change)
    times = f", {factor} times as strong as it is" if factor > 1 else ""
    mean = float(change.abs().mean()) * 255
    pictures = {
        "input": ("Input", "The photo as the network saw it.", photo),
        "restored": ("Restored", "What the network made of it.", restored),
        "change": (
            "Change",
            f"Restored minus input{times}. Mid-grey is no change; the mean change is {mean:.2f} "
            "of 255 levels.",
            0.5 + factor * change,
        ),
    }
    return [
        Figure(name, title, caption, pixels(picture), "Photo")
        for name, (title, caption, picture) in pictures.items()
    ]


def step_figure(stage: str, picture: Tensor, side: int, photo: Tensor) -> Figure:
    """The picture that a stage left, [1, 3, h, w]; its pixels are side x side of the photo's."""
    size = f"1/{side} of the photo's size" if side > 1 else "the photo's size"
    return Figure(
        file_name(stage),
        f"After {stage.lower()}",
        f"Worked out at {size}.",
        pixels(spread(picture, side, photo)),
        "On the way",
    )


def file_name(words: str) -> str:
    """A name for files: "Stage 3" becomes "stage3"."""
    return words.lower().replace(" ", "")


def _amplification(change: Tensor) -> int:
    """The largest factor that drives at most a hundredth of the values off the scale."""
    sizes = change.abs()
    fitting = (each for each in FACTORS if (each * sizes > 0.5).float().mean() <= 0.01)
    return next(fitting, 1)

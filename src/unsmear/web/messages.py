"""What the service, its worker process and its clients say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Wish:
    """What a client asks for; the defaults leave everything to the network.

    Attributes:
        model: one of the service's `models`; None takes the first.
        strength: share of the change that is applied, in [0, 1].
        threshold: blur confidence above which a window is kept, in [0, 1].
        boxes: rectangles (x, y, width, height) in pixels; only there the picture is deblurred.
        mask: where to deblur, joined with the boxes: (H, W) bool of the upright picture's size, or
            the bytes of a picture file whose light half marks it.
        dense: compute every window, and let every pixel change.
        format: of the answer, such as "PNG"; None keeps the picture's own.
    """

    model: str | None = None
    strength: float = 1.0
    threshold: float = 0.5
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    mask: np.ndarray | bytes | None = None
    dense: bool = False
    format: str | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """A deblurred picture.

    Attributes:
        data: the encoded picture, metadata kept; unchanged and in its own format, the bytes that
            came.
        media_type: of the data, such as "image/jpeg".
        blur_map: (H, W) uint8 of the upright picture's size, 255 where blur is certain.
        report: the figures, as `Report.as_dict` has them, with all warnings.
        changed: whether any pixel changed.
    """

    data: bytes
    media_type: str
    blur_map: np.ndarray
    report: dict[str, Any]
    changed: bool


class Engines(NamedTuple):
    """What a worker loads.

    Attributes:
        sources: name to bundled name or checkpoint's path.
        device: as `Deblurrer` takes it.
        dtype: likewise.
        max_pixels: larger pictures are refused, whatever their header said.
    """

    sources: dict[str, str]
    device: str
    dtype: str
    max_pixels: int


class Task(NamedTuple):
    """One picture for the worker; its wish names a model."""

    data: bytes
    wish: Wish


class Ready(NamedTuple):
    """From the worker: models are loaded.

    Attributes:
        steps: of each model that takes several pictures at once, the pixels of which sides are
            padded to multiples; pictures of the same padded size can go together.
    """

    steps: dict[str, int]


class Unfit(NamedTuple):
    """From the worker: there is no use in trying; why, in a sentence."""

    reason: str


class Done(NamedTuple):
    """From the worker: of every task, in order, its answer or why there is none."""

    answers: list[Answer | str]


GIVE_UP = "give up"
"""To the worker: nobody waits for the tasks it has."""

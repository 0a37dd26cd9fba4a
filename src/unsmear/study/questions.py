"""The questions of a study: blind, and in an order that the seed decides."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from unsmear.study.material import Photo


class Question(NamedTuple):
    """Which of these restorations looks best?

    Attributes:
        id: what the page calls the question.
        photo: name of the photo.
        models: in the order shown.
        pictures: what the page calls each model's picture.
        blurred: what the page calls the photo as it was; None where it is not shown.
    """

    id: str
    photo: str
    models: tuple[str, ...]
    pictures: tuple[str, ...]
    blurred: str | None


def ask(
    photos: Sequence[Photo], person: str = "", seed: int = 0
) -> tuple[list[Question], dict[str, Path]]:
    """Shuffle the photos, and the models anew for each.

    The order depends on the seed, the person and the photo alone, so that a session goes on as it
    began and two people do not see the same. What the page calls things is drawn at every start
    and says nothing about them.

    Returns:
        The questions, and the file of each picture they name.
    """
    shuffled = sorted(photos, key=lambda photo: photo.name)
    _random(f"{seed}/{person}").shuffle(shuffled)
    questions, files = list[Question](), dict[str, Path]()
    for photo in shuffled:
        models = sorted(photo.restorations)
        _random(f"{seed}/{person}/{photo.name}").shuffle(models)
        pictures = tuple(secrets.token_hex(8) for _ in models)
        files |= {
            each: photo.restorations[model] for each, model in zip(pictures, models, strict=True)
        }
        blurred = None
        if photo.blurred is not None:
            blurred = secrets.token_hex(8)
            files[blurred] = photo.blurred
        questions.append(
            Question(secrets.token_hex(8), photo.name, tuple(models), pictures, blurred)
        )
    return questions, files


def _random(words: str) -> random.Random:
    # A file name need not be text in UTF-8; where it is, its bytes seed as the text itself does.
    return random.Random(words.encode(errors="surrogatepass"))

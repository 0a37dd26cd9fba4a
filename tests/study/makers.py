"""Folders of restorations that the tests make themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

MODELS = ("ours", "theirs", "third")


def make_restorations(
    root: Path, models: tuple[str, ...] = MODELS, photos: tuple[str, ...] = ("a", "b", "c", "d")
) -> dict[str, Path]:
    """A folder for each model; each picture is of one colour that tells model and photo."""
    folders = {}
    for model in models:
        folders[model] = root / model
        folders[model].mkdir(parents=True)
        for photo in photos:
            path = folders[model] / f"{photo}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((6, 8, 3), colour(model, photo), np.uint8)).save(path)
    return folders


def colour(model: str, photo: str) -> tuple[int, int, int]:
    return len(model) * 20, ord(photo[-1]), 7

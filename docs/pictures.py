"""Make the documentation's pictures: ``python docs/pictures.py [SAPHN]`` in an installed clone.

The scenes are photos that scikit-image ships, blurred here, so that what was sharp is known. The
pictures show the bundled weights; new weights, new pictures. Those of SAPHN, which has none, are
made only where a checkpoint is named: what ``benchmarks/sampling_learns.py`` left.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from skimage import data

from unsmear import Deblurrer, load_model
from unsmear.cli.demo_panel import row
from unsmear.cli.demo_scene import (
    MOTORCYCLE,
    Motion,
    motorcycle_cover,
    move_a_part,
)
from unsmear.explain import explain
from unsmear.runtime import tune_process

FOLDER = Path(__file__).parent / "pictures"
WIDTH = 1200  # px
LONG = Motion(path=(48, -6), bulge=4, detail=MOTORCYCLE.detail)
SHAKE = Motion(path=(9, 5), bulge=1, detail=(0, 0, 1, 1))
LMDVIT_FIGURES = ("blur-map", "stage3-kept", "stage5-kept", "stage9-confidence", "stage9-kept")
SAPHN_FIGURES = ("stage2-r4-sampled", "stage3-full-attention1")


def main() -> None:
    tune_process()
    FOLDER.mkdir(exist_ok=True)
    sharp, _, disparity = data.stereo_motorcycle()
    cover = motorcycle_cover(disparity)
    engine = Deblurrer()

    moved, _ = move_a_part(sharp, cover, MOTORCYCLE)
    compare("works", engine, moved, MOTORCYCLE.detail)
    too_far, _ = move_a_part(sharp, cover, LONG)
    compare("too-far", engine, too_far, LONG.detail)
    cat = data.chelsea()
    shaken, _ = move_a_part(cat, np.ones(cat.shape[:2], np.float32), SHAKE)
    compare("shake", engine, shaken, (90, 40, 290, 210))
    soft = np.asarray(Image.fromarray(data.rocket()).filter(ImageFilter.GaussianBlur(3)))
    compare("defocus", engine, soft, (200, 60, 290, 210))

    photo = torch.from_numpy(moved).permute(2, 0, 1)[None] / 255
    draw("lmdvit", "lmdvit-tiny", photo, LMDVIT_FIGURES)
    for checkpoint in sys.argv[1:]:
        draw("saphn", checkpoint, photo, SAPHN_FIGURES)


def draw(prefix: str, model: str, photo: torch.Tensor, names: tuple[str, ...]) -> None:
    """Write some of the pictures that ``unsmear explain`` draws of [1, 3, H, W]."""
    figures = {each.name: each for each in explain(load_model(model), photo)}
    for name in names:
        write(f"{prefix}-{name}", Image.fromarray(figures[name].picture))


def compare(
    name: str, engine: Deblurrer, blurred: np.ndarray, detail: tuple[int, int, int, int]
) -> None:
    """The photo, what was found, and a part of it before and after."""
    result = engine.deblur(blurred)
    x, y, w, h = detail
    found = np.rint(result.blur_map * 255).astype(np.uint8)
    parts = [
        ("the photo", Image.fromarray(blurred)),
        (f"found blurred ({result.touched.mean():.0%} touched)", Image.fromarray(found)),
        ("before", Image.fromarray(blurred[y : y + h, x : x + w])),
        ("after", Image.fromarray(result.picture.rgb[y : y + h, x : x + w])),
    ]
    height = blurred.shape[0] * 3 // 4
    fitted = [
        (caption, each.convert("RGB").resize((each.width * height // each.height, height)))
        for caption, each in parts
    ]
    write(name, row(fitted))


def write(name: str, picture: Image.Image) -> None:
    """Write a picture for the page, no wider than it can be shown."""
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, picture.height * WIDTH // picture.width))
    picture.convert("RGB").save(FOLDER / f"{name}.webp", quality=80)


if __name__ == "__main__":
    main()

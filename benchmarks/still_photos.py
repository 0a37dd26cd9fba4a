"""How much of photos that show no motion is taken for blurred, as they are and enlarged.

    python benchmarks/still_photos.py --data FOLDER [--model NAME] [--threshold 0.5]

The photos are the held-out stills of FOLDER/stills. Of each the middle is cut such that it has
--side pixels after bicubic enlargement by each factor: a photo from a digital zoom or an editor, or
of a camera that gives more pixels than its lens does detail. What is kept there is kept in vain.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from unsmear.data.split import ValidationSplit
from unsmear.inference import Deblurrer, Steering
from unsmear.models import DEFAULT_MODEL
from unsmear.runtime import tune_process

FACTORS = (1.0, 1.25, 1.5, 2.0)
MUCH = 0.1  # of a picture
SPLIT = Path(__file__).parents[1] / "configs" / "validation_split.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with stills/")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--threshold", type=float, default=0.5, help="as that of `unsmear PHOTO`")
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    tune_process()
    steering = Steering(threshold=options.threshold)
    engine = Deblurrer(options.model, device=options.device, dtype=options.dtype)
    stills = [options.data / "stills" / name for name in ValidationSplit.from_yaml(SPLIT).stills]
    photos = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in stills]
    table = Table(title=f"{options.model}, {engine.dtype}, {len(photos)} held-out photos")
    for head in ("enlarged", "taken for blurred", "changed", f"photos above {MUCH:.0%}"):
        table.add_column(head, justify="right")
    for factor in FACTORS:
        reports = [
            engine.deblur(middle(photo, factor, options.side), steering).report for photo in photos
        ]
        found = [one.blurred_fraction for one in reports]
        changed = [one.touched_fraction for one in reports]
        table.add_row(
            f"{factor:g} times",
            f"{statistics.fmean(found):.1%}",
            f"{statistics.fmean(changed):.1%}",
            f"{statistics.fmean(one > MUCH for one in found):.0%}",
        )
    Console().print(table)


def middle(photo: Image.Image, factor: float, side: int) -> np.ndarray:
    """The middle of a photo, enlarged to a side of so many pixels, or as far as it goes."""
    cut = min(round(side / factor), *photo.size)
    left, top = ((whole - cut) // 2 for whole in photo.size)
    enlarged = (round(cut * factor),) * 2
    box = (left, top, left + cut, top + cut)
    return np.asarray(photo.resize(enlarged, Image.Resampling.BICUBIC, box=box))


if __name__ == "__main__":
    main()

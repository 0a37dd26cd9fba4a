"""What a million photos take, by size and blurred share: core-seconds of one photo, core-hours.

    python benchmarks/scale.py [--sizes 1152x864,2048x1536,4000x3000] [--shares 0,10,30,100]
        [--photos 2] [--repeats 2] [--model lmdvit-tiny] [--price 0.04]

One process with one thread, as a cluster runs them, one for each core. JPEGs are read, deblurred
and written; a blurred share is a rectangle of that share. Core-seconds are the process's own
processor time, which other programs slow less than the clock's; of the repeats the fastest counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from folder import make_photos
from unsmear.batch.jobs import Places
from unsmear.batch.outcome import Ending
from unsmear.batch.plan import make_plan
from unsmear.batch.run import Run
from unsmear.batch.wishes import Wishes
from unsmear.batch.worker import Worker
from unsmear.models import DEFAULT_MODEL

MILLION = 1_000_000


class Taken(NamedTuple):
    """What one photo takes: seconds by the clock, and of processor time; its share kept."""

    clock: float
    core: float
    kept: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1152x864,2048x1536,4000x3000")
    parser.add_argument("--shares", default="0,10,30,100")
    parser.add_argument("--photos", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--price", type=float, help="of one core-hour")
    options = parser.parse_args()
    torch.set_num_threads(1)
    price = "" if options.price is None else " price |"
    print(f"{options.model}, one thread, {options.photos} JPEGs each")
    print(f"| size | blurred | kept | seconds | core-seconds | core-hours a million |{price}")
    for size in options.sizes.split(","):
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder, "photos")
            make_photos(photos, options.photos, (width, height))
            measure(photos, wishes_for(0, (width, height), options.model, options.dtype))  # warm
            for share in map(int, options.shares.split(",")):
                wishes = wishes_for(share / 100, (width, height), options.model, options.dtype)
                runs = [measure(photos, wishes) for _ in range(options.repeats)]
                best = min(runs, key=lambda taken: taken.core)
                hours = best.core * MILLION / 3600
                cost = "" if options.price is None else f" {hours * options.price:,.0f} |"
                print(
                    f"| {size} | {share} % | {best.kept:.0%} | {best.clock:.2f} | {best.core:.2f} "
                    f"| {hours:,.0f} |{cost}",
                    flush=True,
                )


def wishes_for(share: float, size: tuple[int, int], model: str, dtype: str) -> Wishes:
    """Wishes that keep the windows of one share of the picture."""
    box = (0, 0, size[0], round(size[1] * share))
    # Without a box nothing is sure enough to be kept; predictors work all the same.
    boxes = (box,) if share else ()
    return Wishes(model, device="cpu", dtype=dtype, boxes=boxes, threshold=1.0)


def measure(photos: Path, wishes: Wishes) -> Taken:
    """Do a folder with a network that is there."""
    places = Places(str(photos.parent / "results"), overwrite=True)
    worker = Worker(wishes, places)
    assert worker.engine is not None
    endings: list[Ending] = []
    clock, core = time.perf_counter(), time.process_time()
    Run(worker, endings.append).do(make_plan([str(photos)], places))
    clock, core = time.perf_counter() - clock, time.process_time() - core
    figures = [ending.outcome.figures for ending in endings if ending.outcome is not None]
    kept = sum(each["blurred_fraction"] for each in figures) / len(figures)
    return Taken(clock / len(figures), core / len(figures), kept)


if __name__ == "__main__":
    main()

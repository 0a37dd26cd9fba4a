"""Photos per second of a folder: reading, network and writing overlapped, and one after the other.

    python benchmarks/folder.py [--photos 24] [--size 640x480] [--repeats 3] [--device auto]

Both ways take turns, so that a busy machine slows both alike; medians are compared. Each photo is
scikit-image's motorcycle, of which a part moved, shifted a little further.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from unsmear.batch.jobs import Places
from unsmear.batch.outcome import Tally
from unsmear.batch.plan import make_plan
from unsmear.batch.run import Run
from unsmear.batch.wishes import Wishes
from unsmear.batch.worker import Worker
from unsmear.cli.demo_scene import MOTORCYCLE, motorcycle_cover, move_a_part
from unsmear.models import DEFAULT_MODEL

AHEAD = {"one after the other": 0, "overlapped": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    wishes = Wishes(options.model, device=options.device)
    times: dict[str, list[float]] = {name: [] for name in AHEAD}
    with tempfile.TemporaryDirectory() as folder:
        photos, results = Path(folder, "photos"), Path(folder, "results")
        make_photos(photos, options.photos, (width, height))
        places = Places(str(results), overwrite=True)
        worker = Worker(wishes, places)
        for _ in range(options.repeats + 1):
            for name, ahead in AHEAD.items():
                tally = Tally()
                started = time.perf_counter()
                Run(worker, tally.add, ahead=ahead).do(make_plan([str(photos)], places))
                times[name].append(time.perf_counter() - started)
                assert tally.done == options.photos
    device = worker.engine.device
    threads = torch.get_num_threads()
    print(f"{options.photos} JPEGs of {options.size}, {options.model}, {device}, {threads} threads")
    medians = {name: statistics.median(taken[1:]) for name, taken in times.items()}  # first: warm
    slow = medians["one after the other"]
    for name, seconds in medians.items():
        print(f"{name:>19}: {options.photos / seconds:6.2f} a second, {slow / seconds:.2f} times")


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write JPEGs in which a part moved."""
    sharp, _, disparity = data.stereo_motorcycle()
    blurred, _ = move_a_part(sharp, motorcycle_cover(disparity), MOTORCYCLE)
    folder.mkdir()
    paths = [folder / f"{number:03}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        shifted = Image.fromarray(np.roll(blurred, 7 * number, axis=1))
        shifted.resize(size, Image.Resampling.LANCZOS).save(path, quality=92)
    return paths


if __name__ == "__main__":
    main()

"""What it brings to send small pictures through the network together, as `unsmear serve` does.

    python benchmarks/batching.py

CPU seconds are counted, which other programs on the machine change little.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from skimage.data import astronaut

from unsmear.images import Picture
from unsmear.inference import Steering
from unsmear.runtime import tune_process
from unsmear.web.line import LARGEST_BATCH
from unsmear.web.together import BatchDeblurrer

REPEATS = 4


def cpu_seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def main() -> None:
    tune_process()
    torch.set_num_threads(1)
    engine = BatchDeblurrer(device="cpu", dtype="float32")
    photo = astronaut()
    for side in (64, 128, 256):
        pictures = [
            Picture.from_array(photo[32 * n : 32 * n + side, 24 * n : 24 * n + side])
            for n in range(LARGEST_BATCH)
        ]
        wishes = [Steering()] * len(pictures)
        alone = cpu_seconds(lambda p=pictures: [engine.deblur(each) for each in p])
        together = cpu_seconds(lambda p=pictures, w=wishes: engine.deblur_together(p, w))
        print(
            f"{side}x{side}: {1000 * alone / len(pictures):.0f} ms each alone, "
            f"{1000 * together / len(pictures):.0f} ms of {len(pictures)} together"
        )


if __name__ == "__main__":
    main()

"""Largest resident memory of deblurring one large photo in one go.

    python benchmarks/memory.py [--model lmdvit-small] [--size 6000x4000] [--dtype auto] [--dense]

Fresh weights: memory does not depend on their values. Without --dense nothing is kept, which needs
the same memory, since kept windows go through in pieces, and much less time.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from unsmear.inference import Deblurrer, Steering
from unsmear.models import create_model
from unsmear.runtime import tune_process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lmdvit-small")
    parser.add_argument("--size", default="6000x4000")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()
    tune_process()
    width, height = map(int, options.size.split("x"))
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    engine = Deblurrer(create_model(options.model), device="cpu", dtype=options.dtype)
    started = time.perf_counter()
    wishes = Steering(dense=True) if options.dense else Steering(threshold=1.0)
    report = engine.deblur(photo, wishes).report
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{options.model} {options.size} {report.dtype} tiles {report.tiles}: "
        f"{peak / 2**30:.2f} GiB, {peak / (width * height):.0f} bytes a pixel, "
        f"{time.perf_counter() - started:.1f} s"
    )


if __name__ == "__main__":
    main()

"""Time of the command beside what it cannot do without: importing torch, and the network.

    python benchmarks/startup.py [--size 640x480] [--repeats 5]

Each is a process of its own; they take turns, so that a busy machine slows all alike. Medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from folder import make_photos

TORCH = """
import time
started = time.perf_counter()
import torch
print(time.perf_counter() - started)
"""
NETWORK = """
import sys
from unsmear import Deblurrer
from unsmear.runtime import tune_process
tune_process()
engine = Deblurrer()
print(min(engine.deblur(sys.argv[1]).report.seconds for _ in range(3)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        (photo,) = make_photos(Path(folder, "photos"), 1, (width, height))
        tasks = {
            "unsmear --help": lambda: seconds_of("-m", "unsmear", "--help"),
            "import torch": lambda: float(output_of("-c", TORCH)),
            "network, warm": lambda: float(output_of("-c", NETWORK, photo)),
            "unsmear PHOTO": lambda: seconds_of("-m", "unsmear", photo, "--overwrite"),
        }
        times: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range(options.repeats):
            for name, measure in tasks.items():
                times[name].append(measure())
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, seconds in medians.items():
        print(f"{name:>14}: {seconds:6.2f} s")
    needed = medians["import torch"] + medians["network, warm"]
    print(f"{options.size}: {medians['unsmear PHOTO'] / needed:.2f} of torch and network")


def seconds_of(*words: str | Path) -> float:
    """Time of a whole process of Python."""
    started = time.perf_counter()
    output_of(*words)
    return time.perf_counter() - started


def output_of(*words: str | Path) -> str:
    """What a process of Python prints."""
    return subprocess.run(
        [sys.executable, *words], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    main()

"""Time an exported network in onnxruntime beside torch, on the CPU.

    python benchmarks/exported.py [--model NAME] [--size WxH] [--rounds N]

Threads: as many as OMP_NUM_THREADS says. Every way runs once to warm up, then in turn with the
others, N rounds; printed is the median of each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from unsmear.cli.info import parse_size
from unsmear.exchange.onnx import export_onnx
from unsmear.models import load_model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="lmdvit-tiny")
    parser.add_argument("--size", type=parse_size, default=(512, 512))
    parser.add_argument("--rounds", type=int, default=5)
    wishes = parser.parse_args()
    width, height = wishes.size
    network = load_model(wishes.model)
    blurred = torch.rand(1, 3, height, width)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        for pruned in (True, False):
            path = Path(folder) / "model.onnx"
            export_onnx(network, path, pruned=pruned, check=False)
            name = "onnxruntime, pruned" if pruned else "onnxruntime, dense"
            sessions[name] = onnxruntime.InferenceSession(str(path), options)
    for threshold, kept in ((0.0, "all"), (1.0, "none")):
        feed = {"blurred": blurred.numpy(), "threshold": np.array(threshold, np.float32)}
        ways: dict[str, Callable[[], object]] = {
            "torch": lambda threshold=threshold: network(blurred, threshold=threshold)
        }
        for name, session in sessions.items():
            ways[name] = lambda session=session, feed=feed: session.run(["restored"], feed)
        for name, seconds in medians(ways, wishes.rounds).items():
            print(f"{kept:>4} windows kept  {name:20} {seconds:.2f} s")


@torch.no_grad()
def medians(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            begin = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(some) for name, some in seconds.items()}


if __name__ == "__main__":
    main()

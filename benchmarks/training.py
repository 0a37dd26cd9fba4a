"""What a training step on the CPU costs, compiled against plain torch, as ratios of times.

    python benchmarks/training.py [--model lmdvit-small] [--patch 256] [--batch 2] [--kept 0.4]

Forward and backward in bfloat16 autocast, without the optimiser's step, with every window kept and
with a share of them at random. The ways take turns, so that a busy machine slows all of them alike;
medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from unittest.mock import patch

import torch
from torch import Tensor

from unsmear import native
from unsmear.models import LMDViT
from unsmear.runtime import tune_process
from unsmear.speed.paths import keep_at_random, make_network

Maps = list[Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lmdvit-small")
    parser.add_argument("--patch", type=int, default=256, help="side in pixels")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--kept", type=float, default=0.4, help="share of the windows, 0 to 1")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    tune_process()
    network = make_network(options.model).requires_grad_().train()
    blurred = torch.rand(options.batch, 3, options.patch, options.patch)
    pixels = options.batch * options.patch**2
    print(f"{options.model}, {pixels} pixels a step, {torch.get_num_threads()} threads")
    for kept in (1.0, options.kept):
        maps = keep_at_random(network, blurred[:1], kept)
        maps = [one.expand(options.batch, *one.shape[1:]) for one in maps]
        times: dict[str, list[float]] = {"compiled": [], "plain": []}
        for _ in range(options.repeats + 1):
            for way, taken in times.items():
                taken.append(step(network, blurred, maps, compiled=way == "compiled"))
        compiled, plain = (statistics.median(taken[1:]) for taken in times.values())  # first: warm
        print(
            f"{kept:4.0%} kept: compiled {compiled:.3f} s, plain {plain:.3f} s, "
            f"{plain / compiled:.2f} times as fast"
        )


def step(network: LMDViT, blurred: Tensor, maps: Maps, *, compiled: bool) -> float:
    """Seconds of one."""
    with ExitStack() as stack:
        for core in () if compiled else (native.AttentionCore, native.WindowMixing):
            stack.enter_context(patch.object(core, "fits", lambda *_: False))
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            out = network(blurred, decisions=maps)
        loss = (out.restored.float() - blurred.flip(3)).abs().mean()
        for scores in out.scores:
            loss = loss + scores.float().square().mean()
        loss.backward()
        taken = time.perf_counter() - started
    network.zero_grad()
    return taken


if __name__ == "__main__":
    main()

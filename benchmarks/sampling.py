"""What pixel-adaptive sampling costs beside uniform processing, as ratios of times.

    python benchmarks/sampling.py [--family saphn] [--size 256x256] [--repeats 5] [--device cpu]

The networks take turns, and another one begins each round, so that a busy machine slows all of them
alike; medians are compared. Fresh weights: time does not depend on their values.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from unsmear.models import create_model
from unsmear.models.cost import network_cost
from unsmear.runtime import resolve_device, resolve_dtype, tune_process

UNIFORM = {"saphn": "saphn-uniform", "dmphn": "dmphn", "srn": "srn"}
SAMPLED = {"saphn": "saphn", "dmphn": "dmphn-nu", "srn": "srn-nu"}
BUDGETS = (-0.1, 0.0, 0.1, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=UNIFORM, default="saphn")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    tune_process()
    width, height = map(int, options.size.split("x"))
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.dtype, device)
    uniform, sampled = (
        create_model(names[options.family]).to(device, dtype) for names in (UNIFORM, SAMPLED)
    )
    picture = torch.rand(1, 3, height, width, device=device)
    calls = {"uniform": (uniform, {})}
    calls |= {f"budget {budget:+.0%}": (sampled, {"budget": budget}) for budget in BUDGETS}
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for number in range(options.repeats + 1):
            names = list(calls)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                network, wishes = calls[name]
                synchronise(device)
                started = time.perf_counter()
                network(picture, **wishes)
                synchronise(device)
                times[name].append(time.perf_counter() - started)
    threads = torch.get_num_threads()
    print(f"{options.family}, {options.size}, {device}, {options.dtype}, {threads} threads")
    medians = {name: statistics.median(taken[1:]) for name, taken in times.items()}  # first: warm
    for name, (network, wishes) in calls.items():
        cost = network_cost(network, height, width, **wishes).dense
        print(
            f"{name:>12}: {cost / 1e9:7.1f} G multiply-adds, {medians[name]:7.3f} s, "
            f"{medians[name] / medians['uniform']:.2f} of uniform"
        )


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

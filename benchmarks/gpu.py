"""LMD-ViT on an NVIDIA GPU: plain torch, compiled torch and the fused kernels, beside its ceilings.

    python benchmarks/gpu.py [--models lmdvit lmdvit-small] [--size 2152x1436] [--repeats 20]

Windows are kept at random, the same for all paths, which take turns; medians of CUDA events are
compared. A path runs from a CUDA graph, too, where it can. Weights are fresh ones, bfloat16: time
does not depend on their values. Operations are two for each multiply-add that the kept windows
need; traffic is the least there could be: kept tokens in and out once a block, and the map once a
predictor. The ceilings are a large matrix product and a copy, measured in the same run.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from unsmear import kernels
from unsmear.layers.folded import fold_block
from unsmear.layers.windows import WindowGrid
from unsmear.models import LMDViT, create_model
from unsmear.models.cost import network_cost

SHARES = (1.0, 1 / 3, 1 / 10)  # of the windows that are kept
DTYPE = torch.bfloat16
WARM_UPS = 3
BATCH, PATCH = 12, 256  # of a training step, px
Run = Callable[[], Any]


class Ceilings(NamedTuple):
    """The best that this GPU does here."""

    flops: float  # operations a second
    traffic: float  # bytes a second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=["lmdvit", "lmdvit-small"])
    parser.add_argument("--size", default="2152x1436")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark needs an NVIDIA GPU, and torch finds none here.")
    with torch.no_grad():
        if not kernels.can_fuse(torch.ones(1, device="cuda")):
            raise SystemExit("The kernels need Triton and a GPU of compute capability 8.0 or more.")
    width, height = map(int, options.size.split("x"))
    # Every count of windows is a shape of its own to the compiler.
    torch._dynamo.config.recompile_limit = 1024
    torch._dynamo.config.accumulated_recompile_limit = 8192
    ceilings = measure_ceilings(options.repeats)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.size}, bfloat16")
    print(f"ceilings: {ceilings.flops / 1e12:.0f} TFLOP/s, {ceilings.traffic / 1e9:.0f} GB/s")
    for model in options.models:
        torch.manual_seed(0)
        network = create_model(model).cuda()
        compare_training(model, network, options.repeats)
        network = network.to(DTYPE).eval().requires_grad_(False)
        for share in SHARES:
            compare_stages(model, network, height, width, share, options.repeats)
            compare_networks(model, network, height, width, share, ceilings, options.repeats)


# --- the whole network ---


def compare_networks(
    model: str,
    network: LMDViT,
    height: int,
    width: int,
    share: float,
    ceilings: Ceilings,
    repeats: int,
) -> None:
    """All paths through a network, on one picture."""
    picture = torch.rand(1, 3, height, width, device="cuda", dtype=DTYPE)
    keep = kept_at_random(network, height, width, share)
    other = copy.deepcopy(network)  # a block remembers how it computes
    fused = partial(restore, network, picture, keep)
    plain = in_plain_torch(partial(restore, other, picture, keep))
    compiled = in_plain_torch(partial(restore, torch.compile(other), picture, keep))
    paths: dict[str, tuple[AbstractContextManager[None], Run]] = {
        "plain": (nullcontext(), plain),
        "plain, graph": (known_windows(), plain),
        "compiled": (nullcontext(), compiled),
        "fused": (nullcontext(), fused),
        "fused, graph": (known_windows(), fused),
    }
    exact = plain().float()
    runs: dict[str, Run] = {}
    for name, (surroundings, run) in paths.items():
        try:
            with surroundings:
                found, runs[name] = graphed(run) if name.endswith("graph") else warmed(run)
        except RuntimeError as problem:
            print(f"{model:>12} {name:>12}: does not run, {problem}")
            continue
        print(f"{model:>12} {name:>12}: largest difference {(found.float() - exact).abs().max():g}")
    work, traffic = needed(network, height, width, keep)
    for name, seconds in in_turns(runs, repeats).items():
        flops, moved = 2 * work / seconds, traffic / seconds
        print(
            f"{model:>12} {name:>12} {share:4.0%} kept: {1e3 * seconds:8.2f} ms, "
            f"{flops / 1e12:6.1f} TFLOP/s ({flops / ceilings.flops:4.0%} of the ceiling), "
            f"{moved / 1e9:6.0f} GB/s ({moved / ceilings.traffic:4.0%})"
        )


@torch.no_grad()
def restore(network: Callable[..., Any], picture: Tensor, keep: list[Tensor]) -> Tensor:
    return network(picture, decisions=keep).restored


def in_plain_torch(run: Run) -> Run:
    """The same with the kernels turned down wherever somebody asks for them."""

    def plainly() -> Any:
        with patch.object(kernels, "_can_build", return_value=False):
            return run()

    return plainly


def kept_at_random(network: LMDViT, height: int, width: int, share: float) -> list[Tensor]:
    """One map [1, H/M, W/M] for each predictor, with that share of ones to the nearest window."""
    generator = torch.Generator().manual_seed(1)
    step = network.size_step
    height, width = height + -height % step, width + -width % step
    maps = []
    for stage, _ in network.predictor_places:
        side = network.scale_of(stage) * network.config.window_size
        order = torch.rand(height // side, width // side, generator=generator).flatten().argsort()
        kept = torch.zeros(len(order)).index_fill(0, order[: round(share * len(order))], 1)
        maps.append(kept.reshape(1, height // side, width // side).to("cuda", DTYPE))
    return maps


def needed(network: LMDViT, height: int, width: int, keep: list[Tensor]) -> tuple[int, float]:
    """Multiply-adds, and bytes that have to be moved at the least."""
    shares: dict[int, list[float]] = {}
    for (stage, _), kept in zip(network.predictor_places, keep, strict=True):
        shares.setdefault(stage, []).append(float(kept.float().mean()))
    pairs = [(own[0], own[-1]) for _, own in sorted(shares.items())]
    work = network_cost(network, height, width).spent(pairs)
    traffic = 0.0
    last = {stage: kept for (stage, _), kept in zip(network.predictor_places, keep, strict=True)}
    for number, (stage, own) in enumerate(zip(network.stages, pairs, strict=True), start=1):
        tokens = last[number].numel() * network.config.window_size**2
        size = tokens * network.config.dims[number - 1] * DTYPE.itemsize
        blocks = sum(own[index % 2] for index in range(len(stage.blocks)))
        traffic += size * (2 * blocks + len(stage.predictors))
    return work, traffic


@contextmanager
def known_windows() -> Iterator[None]:
    """Remember where the kept windows are: a graph cannot wait for the GPU to tell."""
    nonzero, known = Tensor.nonzero, {}

    def recall(x: Tensor) -> Tensor:
        if x.data_ptr() not in known:
            known[x.data_ptr()] = nonzero(x)
        return known[x.data_ptr()]

    with patch.object(Tensor, "nonzero", recall):
        yield


# --- one block of each stage ---


@torch.no_grad()
def compare_stages(
    model: str, network: LMDViT, height: int, width: int, share: float, repeats: int
) -> None:
    """Plain torch and the kernels on the last block of every stage: where which one is faster."""
    from unsmear.kernels.window_block import can_run, run_windows

    step, m = network.size_step, network.config.window_size
    height, width = height + -height % step, width + -width % step
    for number, stage in enumerate(network.stages, start=1):
        block, scale = copy.deepcopy(stage.blocks[-1]), network.scale_of(number)
        grid = WindowGrid(height // scale, width // scale, m, block.shift)
        dim = network.config.dims[number - 1]
        x = torch.randn(1, grid.height, grid.width, dim, device="cuda", dtype=DTYPE)
        keep = torch.zeros(grid.windows, device="cuda")
        keep[torch.randperm(grid.windows, device="cuda")[: round(share * grid.windows)]] = 1
        folded, flat = fold_block(block), x.reshape(-1, dim)
        numbers = keep.nonzero().squeeze(1)
        if not can_run(flat, grid, folded):
            print(f"{model:>12} stage {number}, {dim} channels: the kernels do not take it")
            continue
        with known_windows():
            runs = {
                "plain": warmed(in_plain_torch(partial(block.run_kept, x, keep)))[1],
                "fused": warmed(partial(run_windows, flat, grid, numbers, folded))[1],
            }
            plain, fused = in_turns(runs, repeats).values()
        work = network_cost(network, height, width).stages[number - 1].block * share
        print(
            f"{model:>12} stage {number}, {dim:3} channels {share:4.0%} kept: "
            f"plain {1e3 * plain:7.3f} ms, fused {1e3 * fused:7.3f} ms, "
            f"{plain / fused:4.1f} times, {2e-12 * work / fused:5.0f} TFLOP/s"
        )


# --- a training step ---


def compare_training(model: str, network: LMDViT, repeats: int) -> None:
    """Forward and backward of a batch with sampled decisions, in mixed precision."""
    blurred = torch.rand(BATCH, 3, PATCH, PATCH, device="cuda")
    network.train()
    runs = {
        name: warmed(partial(train_step, trained, blurred))[1]
        for name, trained in (("plain", network), ("compiled", torch.compile(network)))
    }
    for name, seconds in in_turns(runs, repeats).items():
        print(
            f"{model:>12} {name:>12} training: {1e3 * seconds:8.1f} ms a step, "
            f"{BATCH / seconds:6.1f} patches of {PATCH} px a second"
        )
    network.zero_grad(set_to_none=True)


def train_step(network: Callable[..., Any], blurred: Tensor) -> None:
    with torch.autocast("cuda", DTYPE):
        out = network(blurred)
    loss = (out.restored.float() - blurred.flip(3)).abs().mean()
    for scores in out.scores:
        loss = loss + scores.float().square().mean()
    loss.backward()


# --- measuring ---


def measure_ceilings(repeats: int) -> Ceilings:
    side, size = 8192, 1 << 30
    a, b = torch.randn(2, side, side, device="cuda", dtype=DTYPE)
    source, target = torch.empty(2, size, device="cuda", dtype=torch.uint8)
    product, copy = partial(torch.mm, a, b, out=torch.empty_like(a)), partial(target.copy_, source)
    runs = {"product": warmed(product)[1], "copy": warmed(copy)[1]}
    seconds = in_turns(runs, repeats)
    return Ceilings(2 * side**3 / seconds["product"], 2 * size / seconds["copy"])


def warmed(run: Run) -> tuple[Any, Run]:
    """What it gives, and itself, once kernels are built and memory is at hand."""
    for _ in range(WARM_UPS - 1):
        run()
    return run(), run


def graphed(run: Run) -> tuple[Any, Run]:
    """What it gives, and its replay from a CUDA graph."""
    beside = torch.cuda.Stream()
    with torch.cuda.stream(beside):
        warmed(run)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    graph.replay()
    return found, graph.replay


def in_turns(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """Median seconds of each; they take turns, so that a warm GPU slows all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            end.synchronize()
            taken[name].append(start.elapsed_time(end) / 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}


if __name__ == "__main__":
    main()

"""Time and memory of pixel-dependent filtering on a GPU: the fused kernel against plain torch.

    python benchmarks/pixel_filter.py [--size 1280x720] [--share 0.0625] [--repeats 20]

Measured at SAPHN's widths, for all pixels of a map of that size and for a share of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor

from unsmear.kernels import can_fuse
from unsmear.layers import pixel_filter
from unsmear.layers.pixel_sampling import Selection

WIDTHS, TAPS, REACH = (32, 64, 240), 5, 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--share", type=float, default=1 / 16)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    torch.set_grad_enabled(False)
    if not torch.cuda.is_available():
        print("The kernel needs a CUDA device, and this machine has none: nothing to compare.")
        return
    if not can_fuse(torch.ones(1, device="cuda")):
        print("The kernel needs Triton and a GPU of compute capability 8.0 or more.")
        return
    print(torch.cuda.get_device_name(), options.size)
    for dtype in (torch.float32, torch.bfloat16):
        for channels in WIDTHS:
            for share in (1.0, options.share):
                compare(channels, height, width, share, dtype, options.repeats)


def compare(
    channels: int, height: int, width: int, share: float, dtype: torch.dtype, repeats: int
) -> None:
    torch.manual_seed(0)
    length = round(share * height * width)
    index = torch.randperm(height * width, device="cuda")[:length].sort().values[None]
    selection = None if share == 1 else Selection(index, None, height, width)
    x = torch.randn(1, channels, height, width, device="cuda", dtype=dtype)
    weight = torch.randn(channels, channels, TAPS, TAPS, device="cuda", dtype=dtype)
    heads = torch.randn(3 * TAPS**2, 1, length, device="cuda", dtype=dtype)  # as a layer's lie
    kernels = heads[: TAPS**2].permute(1, 2, 0)
    offsets = REACH * heads[TAPS**2 :].permute(1, 2, 0).unflatten(2, (TAPS**2, 2)).tanh()

    def run() -> Tensor:
        return pixel_filter.filter_pixels(x, weight, None, kernels, offsets, selection)

    fused_time, fused_memory = measure(run, repeats)
    with patch.object(pixel_filter, "can_fuse", return_value=False):
        plain_time, plain_memory = measure(run, repeats)
    print(
        f"{str(dtype).removeprefix('torch.'):>8} C={channels:<3} {share:7.2%} of the pixels: "
        f"plain {plain_time:8.2f} ms {plain_memory:7.0f} MiB, "
        f"fused {fused_time:8.2f} ms {fused_memory:7.0f} MiB, {plain_time / fused_time:.1f} times"
    )


def measure(run: Callable[[], Tensor], repeats: int) -> tuple[float, float]:
    """Median milliseconds, and the most MiB that a run took."""
    run()  # builds kernels
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    taken = (torch.cuda.max_memory_allocated() - before) / 2**20
    return float(torch.tensor(times).median()), taken


if __name__ == "__main__":
    main()

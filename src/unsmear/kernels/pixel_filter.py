"""Pixel-dependent filtering in one pass: the fused twin of ``unsmear.layers.pixel_filter``.

A program owns some pixels with their output channels. Tap by tap it gathers the input channels, a
block at a time, and multiplies them by W's block, so that no neighbour ever lies in memory. Shapes:
B images, C channels in, O out, H x W pixels, L of them filtered, K x K taps.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_PIXELS = 64  # of one program


def filter_pixels(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernels: Tensor | None,
    offsets: Tensor | None,
    index: Tensor | None,
) -> Tensor:
    """Sum over taps k of V_k W_k x[j + j_k + D_k] for every pixel j of ``index``, no gradients.

    Places, interpolation and sums are float32, and so are the products where x is; otherwise both
    factors of a product are rounded to x's number type.

    Args:
        x: [B, C, H, W], float32, bfloat16 or float16; channels-last spares a copy.
        weight: W, [O, C, K, K].
        bias: [O].
        kernels: V, [B, L, K * K]; None: 1.
        offsets: D as (x, y) in pixels, [B, L, K * K, 2]; None: 0.
        index: y * W + x of the L pixels, [B, L]; None: all of them, in order.

    Returns:
        [B, O, L] of x's number type, under autocast of autocast's.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    (b, c, h, w), (o, _, kernel_size, _) = x.shape, weight.shape
    length = h * w if index is None else index.shape[1]
    out = x.new_empty(b, o, length, dtype=dtype)
    block_c = min(64 // dtype.itemsize, max(16, triton.next_power_of_2(c)))
    block_o = min(256, max(16, triton.next_power_of_2(o)))
    with torch.cuda.device_of(x):
        _filter[triton.cdiv(length, _PIXELS), triton.cdiv(o, block_o), b](
            x.to(dtype).permute(0, 2, 3, 1).contiguous(),
            weight.to(dtype).permute(2, 3, 1, 0).contiguous(),
            None if bias is None else bias.contiguous(),
            # Neighbouring pixels side by side.
            None if kernels is None else kernels.transpose(1, 2).contiguous(),
            None if offsets is None else offsets.permute(0, 2, 3, 1).contiguous(),
            None if index is None else index.contiguous(),
            out,
            h,
            w,
            length,
            C=c,
            O=o,
            K=kernel_size,
            BLOCK_L=_PIXELS,
            BLOCK_C=block_c,
            BLOCK_O=block_o,
            num_warps=8 if block_o > 64 else 4,  # pyright: ignore[reportCallIssue]
            # Triton is about to change this default and warns of it.
            enable_fp_fusion=True,  # pyright: ignore[reportCallIssue]
        )
    return out


@triton.jit
def _filter(
    x: tl.tensor,  # [B, H, W, C]
    weight: tl.tensor,  # [K * K, C, O]
    bias: tl.tensor,  # [O]; this and the next three may be None
    kernels: tl.tensor,  # [B, K * K, L]
    offsets: tl.tensor,  # [B, K * K, 2, L]
    index: tl.tensor,  # [B, L]
    out: tl.tensor,  # [B, O, L]
    height: tl.tensor,
    width: tl.tensor,
    length: tl.tensor,
    C: tl.constexpr,  # noqa: N803
    O: tl.constexpr,  # noqa: E741, N803
    K: tl.constexpr,  # noqa: N803
    BLOCK_L: tl.constexpr,  # noqa: N803
    BLOCK_C: tl.constexpr,  # noqa: N803
    BLOCK_O: tl.constexpr,  # noqa: N803
) -> None:
    """Filter BLOCK_L pixels of one image into BLOCK_O channels."""
    # Large maps have more elements than 32 bits count.
    image = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0).to(tl.int64) * BLOCK_L + tl.arange(0, BLOCK_L)
    output = tl.program_id(1).to(tl.int64) * BLOCK_O + tl.arange(0, BLOCK_O)
    here, wanted = pixel < length, output < O
    place = pixel
    if index is not None:
        place = tl.load(index + image * length + pixel, mask=here, other=0)
    row, column = (place // width).to(tl.int32), (place % width).to(tl.int32)
    x += image * height * width * C

    total = tl.full([BLOCK_L, BLOCK_O], 0.0, tl.float32)
    for tap in range(K * K):
        at_y = row + (tap // K - K // 2)
        at_x = column + (tap % K - K // 2)  # pyright: ignore[reportOperatorIssue]
        number = image * (K * K) + tap
        if offsets is not None:
            moved = offsets + number * 2 * length + pixel
            at_x = at_x + tl.load(moved, mask=here, other=0.0).to(tl.float32)
            at_y = at_y + tl.load(moved + length, mask=here, other=0.0).to(tl.float32)
        for start in range(0, C, BLOCK_C):
            channel = start + tl.arange(0, BLOCK_C)
            if offsets is None:
                found = _gather(x, at_y, at_x, height, width, channel, C)
            else:
                found = _interpolate(x, at_y, at_x, height, width, channel, C)
            if kernels is not None:
                kernel = tl.load(kernels + number * length + pixel, mask=here, other=0.0)
                found *= kernel.to(tl.float32)[:, None]
            factor = tl.load(
                weight + (tap * C + channel)[:, None] * O + output[None, :],
                mask=(channel < C)[:, None] & wanted[None, :],
                other=0.0,
            )
            # Three products in TF32 are as exact as one in float32, and faster.
            total = tl.dot(found.to(factor.dtype), factor, total, input_precision="tf32x3")
    if bias is not None:
        total += tl.load(bias + output, mask=wanted, other=0.0).to(tl.float32)[None, :]
    into = out + (image * O + output)[None, :] * length + pixel[:, None]
    tl.store(into, total, mask=here[:, None] & wanted[None, :])


@triton.jit
def _interpolate(
    x: tl.tensor,
    at_y: tl.tensor,
    at_x: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    channel: tl.tensor,
    C: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """Some channels at places between pixels, bilinear: [BLOCK_L, BLOCK_C] float32."""
    # What lies farther out is 0 all the same, but may be too far for an integer.
    at_y = tl.minimum(tl.maximum(at_y, -2.0), height + 1.0)
    at_x = tl.minimum(tl.maximum(at_x, -2.0), width + 1.0)
    top, left = tl.floor(at_y).to(tl.int32), tl.floor(at_x).to(tl.int32)
    down, right = (at_y - top)[:, None], (at_x - left)[:, None]
    top_left = _gather(x, top, left, height, width, channel, C)
    top_right = _gather(x, top, left + 1, height, width, channel, C)
    bottom_left = _gather(x, top + 1, left, height, width, channel, C)
    bottom_right = _gather(x, top + 1, left + 1, height, width, channel, C)
    upper = top_left + right * (top_right - top_left)
    lower = bottom_left + right * (bottom_right - bottom_left)
    return upper + down * (lower - upper)


@triton.jit
def _gather(
    x: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    channel: tl.tensor,
    C: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """Some channels of pixels, 0 outside of the map: [BLOCK_L, BLOCK_C] float32."""
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    pixel = (row.to(tl.int64) * width + column) * C
    found = tl.load(
        x + pixel[:, None] + channel[None, :],
        mask=inside[:, None] & (channel < C)[None, :],
        other=0.0,
    )
    return found.to(tl.float32)

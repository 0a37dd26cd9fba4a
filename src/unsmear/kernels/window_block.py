"""Window blocks on the kept windows of a map: the fused twin of ``unsmear.layers.adawpt``.

Two passes, attention and W-LeFF; in both a program owns one window, gathers its tokens from the map
and puts them back in place. What a window's tokens grow into (queries, logits, hidden channels)
stays within the program, a head or a block of hidden channels at a time; only weights are read
again by every window, and those lie in the GPU's cache. Shapes: B images, H x W tokens, C channels,
windows of M x M tokens, K kept windows, D channels a head, r times C hidden channels.
"""

# Triton's declarations do not fit the language that its compiler reads.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from unsmear.layers.folded import FoldedBlock
    from unsmear.layers.windows import WindowGrid

_SIDES = (4, 8)  # of windows: their tokens are the rows of a matrix product
_WIDEST = {torch.float32: 64, torch.bfloat16: 256, torch.float16: 256}  # channels, see `can_run`
_WIDEST_HEAD = 32  # channels
_BLOCK_H = 32  # hidden channels at a time; with 64 registers spill from 128 channels on


def can_run(flat: Tensor, grid: WindowGrid, folded: FoldedBlock) -> bool:
    """Whether :func:`run_windows` takes these arguments; where not, the twin has to compute.

    It takes windows of 4 or 8 tokens a side, up to 256 channels of 16 bits or 64 of float32, heads
    of up to 32 channels, and weights of the map's type. A program holds the float32 sums of its
    whole window: those of more channels do not fit the registers of its four warps, and Triton has
    eight warps compute the same rows twice. There matrix products outweigh memory's traffic anyway.
    """
    c = flat.shape[1]
    return (
        grid.window_size in _SIDES
        and c <= _WIDEST.get(flat.dtype, 0)
        and c // folded.heads <= _WIDEST_HEAD
        and folded.proj_weight.dtype == flat.dtype
    )


def run_windows(
    flat: Tensor,
    grid: WindowGrid,
    numbers: Tensor,
    folded: FoldedBlock,
    count: Tensor | None = None,
    *,
    feed: bool = True,
) -> None:
    """Compute the block on some windows of a map, in place and without gradients.

    Statistics, softmax, GELU and sums are float32, and so are the products where the map is;
    otherwise both factors of a product are rounded to the map's number type.

    ``count`` spares the wait for the GPU to say how many windows were kept: ``numbers`` then has
    the length of the most there can be, and surplus programs return at once. It pays where the wait
    would be long against the work, on small maps, and in a CUDA graph, which cannot wait. On a
    large map with few windows kept, launching only those is faster.

    Args:
        flat: the map, [B * H * W, C] contiguous, float32, bfloat16 or float16.
        grid: the partition of [B, H, W].
        numbers: windows to compute, each once, [K] int64 contiguous; see :class:`WindowGrid`.
        folded: the block's weights, from ``fold_block``, on the device and of the type of ``flat``.
        count: None, or how many of ``numbers`` to compute, the first ones: one integer on the
            device, at most K.
        feed: whether W-LeFF follows the attention.
    """
    if len(numbers) == 0:
        return
    c, hidden = flat.shape[1], folded.expand_weight.shape[0]
    block_c = _block(c)
    # With weights fetched ahead, the widest windows would leave no room for a second program.
    stages = 1 if block_c > 128 else 2
    place = (flat, numbers, count, grid.height, grid.width, folded.eps)
    shape = {
        "C": c,
        "M": grid.window_size,
        "SHIFT": grid.shift,
        "BLOCK_C": block_c,
        "num_warps": 4,
        "num_stages": stages,
        # Triton is about to change this default and warns of it.
        "enable_fp_fusion": True,
    }
    with torch.cuda.device_of(flat):
        _attend[(len(numbers),)](
            *place,
            folded.qkv_weight,
            folded.qkv_bias,
            folded.logit_bias,
            folded.proj_weight,
            folded.proj_bias,
            HEADS=folded.heads,
            PLACES=len(folded.qkv_bias),
            KINDS=len(folded.logit_bias),
            BLOCK_D=_block(c // folded.heads),
            **shape,
        )
        if feed:
            _feed[(len(numbers),)](
                *place,
                folded.expand_weight,
                folded.expand_bias,
                folded.taps,
                folded.taps_bias,
                folded.reduce_weight,
                folded.reduce_bias,
                HIDDEN=hidden,
                BLOCK_H=min(_BLOCK_H, _block(hidden)),
                **shape,
            )


def _block(length: int) -> int:
    """Side of the block that holds ``length``: a power of two, 16 at the least for a product."""
    return max(16, triton.next_power_of_2(length))


@triton.jit
def _attend(
    flat: tl.tensor,  # [B * H * W, C]
    numbers: tl.tensor,  # [K]
    count: tl.tensor,  # [1], may be None
    height: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    weight: tl.tensor,  # [3 C, C]
    bias: tl.tensor,  # [PLACES, 3 C]
    logit_bias: tl.tensor,  # [KINDS, HEADS, M * M, M * M]
    proj_weight: tl.tensor,  # [C, C]
    proj_bias: tl.tensor,  # [C]
    C: tl.constexpr,  # noqa: N803
    M: tl.constexpr,  # noqa: N803
    SHIFT: tl.constexpr,  # noqa: N803
    HEADS: tl.constexpr,  # noqa: N803
    PLACES: tl.constexpr,  # noqa: N803 - 1 or M * M
    KINDS: tl.constexpr,  # noqa: N803 - 1 or 4
    BLOCK_C: tl.constexpr,  # noqa: N803
    BLOCK_D: tl.constexpr,  # noqa: N803
) -> None:
    """Norm, attention, projection and residual of one window."""
    if count is not None:  # noqa: SIM102 - known when compiling, the other is not
        if tl.program_id(0) >= tl.load(count):
            return
    number = tl.load(numbers + tl.program_id(0))
    token = _tokens(number, height, width, M, SHIFT)
    x = _normed(flat, token, eps, C, BLOCK_C)
    D: tl.constexpr = C // HEADS  # noqa: N806
    T: tl.constexpr = M * M  # noqa: N806
    place = tl.arange(0, T)
    channel = tl.arange(0, BLOCK_C)
    if KINDS > 1:
        below = number % ((height // M) * (width // M)) // (width // M) == height // M - 1
        right = number % (width // M) == width // M - 1
        logit_bias += (2 * below.to(tl.int32) + right.to(tl.int32)) * HEADS * T * T
    pair = place[:, None] * T + place[None, :]

    total = tl.full([T, BLOCK_C], 0.0, tl.float32)
    for head in range(HEADS):
        feature = head * D + tl.arange(0, BLOCK_D)
        own = tl.arange(0, BLOCK_D) < D
        q = _features(x, weight, bias, feature, own, C, T, PLACES, BLOCK_C)
        k = _features(x, weight, bias, C + feature, own, C, T, PLACES, BLOCK_C)
        v = _features(x, weight, bias, 2 * C + feature, own, C, T, PLACES, BLOCK_C)
        logits = tl.dot(q, tl.trans(k), input_precision="tf32x3")
        logits += tl.load(logit_bias + head * T * T + pair).to(tl.float32)
        share = tl.exp(logits - tl.max(logits, 1)[:, None])
        share /= tl.sum(share, 1)[:, None]
        mixed = tl.dot(share.to(v.dtype), v, input_precision="tf32x3")
        factor = tl.load(
            proj_weight + channel[None, :] * C + feature[:, None],
            mask=(channel < C)[None, :] & own[:, None],
            other=0.0,
        )
        total = tl.dot(mixed.to(factor.dtype), factor, total, input_precision="tf32x3")
    _add(flat, token, total, proj_bias, C, BLOCK_C)


@triton.jit
def _features(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    feature: tl.tensor,
    own: tl.tensor,
    C: tl.constexpr,  # noqa: N803
    T: tl.constexpr,  # noqa: N803
    PLACES: tl.constexpr,  # noqa: N803
    BLOCK_C: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """Queries, keys or values of a head: [M * M, BLOCK_D] of x's type, 0 beyond D."""
    made = _linear(x, weight, feature, own, C, BLOCK_C)
    if PLACES == 1:
        made += tl.load(bias + feature, mask=own, other=0.0).to(tl.float32)[None, :]
    else:
        at = tl.arange(0, T)[:, None] * (3 * C) + feature[None, :]
        made += tl.load(bias + at, mask=own[None, :], other=0.0).to(tl.float32)
    return made.to(x.dtype)


@triton.jit
def _feed(
    flat: tl.tensor,  # [B * H * W, C]
    numbers: tl.tensor,  # [K]
    count: tl.tensor,  # [1], may be None
    height: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    expand_weight: tl.tensor,  # [HIDDEN, C]
    expand_bias: tl.tensor,  # [HIDDEN]
    taps: tl.tensor,  # [3, 3, HIDDEN]
    taps_bias: tl.tensor,  # [HIDDEN]
    reduce_weight: tl.tensor,  # [C, HIDDEN]
    reduce_bias: tl.tensor,  # [C]
    C: tl.constexpr,  # noqa: N803
    M: tl.constexpr,  # noqa: N803
    SHIFT: tl.constexpr,  # noqa: N803
    HIDDEN: tl.constexpr,  # noqa: N803
    BLOCK_C: tl.constexpr,  # noqa: N803
    BLOCK_H: tl.constexpr,  # noqa: N803
) -> None:
    """Norm, W-LeFF and residual of one window."""
    if count is not None:  # noqa: SIM102 - known when compiling, the other is not
        if tl.program_id(0) >= tl.load(count):
            return
    number = tl.load(numbers + tl.program_id(0))
    token = _tokens(number, height, width, M, SHIFT)
    x = _normed(flat, token, eps, C, BLOCK_C)
    channel = tl.arange(0, BLOCK_C)

    # A token's neighbours lie in other threads. A product with a 0/1 matrix brings them, exactly:
    # the work is the tensor cores', which wait for the GELUs anyway; tl.gather, which Triton has
    # since 3.3 only, would go through shared memory and keep those busy that compute the GELUs.
    # Four products do instead of eight, for a filter's row of taps can be summed up beside each
    # token and then move up or down as one.
    place = tl.arange(0, M * M)
    row, column = place // M, place % M
    left = _bring(row * M + tl.abs(column - 1), M, x.dtype)
    right = _bring(row * M + M - 1 - tl.abs(M - 2 - column), M, x.dtype)
    above = _bring(tl.abs(row - 1) * M + column, M, x.dtype)
    below = _bring((M - 1 - tl.abs(M - 2 - row)) * M + column, M, x.dtype)

    total = tl.full([M * M, BLOCK_C], 0.0, tl.float32)
    for start in range(0, HIDDEN, BLOCK_H):
        hidden = start + tl.arange(0, BLOCK_H)
        here = hidden < HIDDEN
        middle = _linear(x, expand_weight, hidden, here, C, BLOCK_C)
        middle = _gelu(middle + _vector(expand_bias, hidden, here)).to(x.dtype)
        before = tl.dot(left, middle, input_precision="tf32x3")
        after = tl.dot(right, middle, input_precision="tf32x3")
        middle = middle.to(tl.float32)
        filtered = _filter_row(taps + 3 * HIDDEN, before, middle, after, hidden, here, HIDDEN)
        upper = _filter_row(taps, before, middle, after, hidden, here, HIDDEN)
        lower = _filter_row(taps + 6 * HIDDEN, before, middle, after, hidden, here, HIDDEN)
        filtered = tl.dot(above, upper.to(x.dtype), filtered, input_precision="tf32x3")
        filtered = tl.dot(below, lower.to(x.dtype), filtered, input_precision="tf32x3")
        filtered = _gelu(filtered + _vector(taps_bias, hidden, here))
        factor = tl.load(
            reduce_weight + channel[None, :] * HIDDEN + hidden[:, None],
            mask=(channel < C)[None, :] & here[:, None],
            other=0.0,
        )
        total = tl.dot(filtered.to(x.dtype), factor, total, input_precision="tf32x3")
    _add(flat, token, total, reduce_bias, C, BLOCK_C)


@triton.jit
def _bring(
    source: tl.tensor,
    M: tl.constexpr,  # noqa: N803
    dtype: tl.constexpr,
) -> tl.tensor:
    """The matrix whose product with tokens has token ``source[t]`` in row t: [M * M, M * M]."""
    return tl.where(source[:, None] == tl.arange(0, M * M)[None, :], 1.0, 0.0).to(dtype)


@triton.jit
def _filter_row(
    taps: tl.tensor,
    before: tl.tensor,
    middle: tl.tensor,
    after: tl.tensor,
    hidden: tl.tensor,
    here: tl.tensor,
    HIDDEN: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """A row of three taps on tokens and those at their sides: [M * M, BLOCK_H] float32."""
    filtered = before * _vector(taps, hidden, here)
    filtered += middle * _vector(taps + HIDDEN, hidden, here)
    return filtered + after * _vector(taps + 2 * HIDDEN, hidden, here)


@triton.jit
def _gelu(x: tl.tensor) -> tl.tensor:
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def _vector(values: tl.tensor, index: tl.tensor, here: tl.tensor) -> tl.tensor:
    """Some values, to go with every token: [1, length] float32."""
    return tl.load(values + index, mask=here, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _linear(
    x: tl.tensor,
    weight: tl.tensor,
    output: tl.tensor,
    wanted: tl.tensor,
    C: tl.constexpr,  # noqa: N803
    BLOCK_C: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """Some outputs of a linear layer without bias, ``weight`` [outputs, C]: float32."""
    channel = tl.arange(0, BLOCK_C)
    factor = tl.load(
        weight + output[None, :] * C + channel[:, None],
        mask=wanted[None, :] & (channel < C)[:, None],
        other=0.0,
    )
    # Three products in TF32 are as exact as one in float32, and faster.
    return tl.dot(x, factor, input_precision="tf32x3")


@triton.jit
def _tokens(
    number: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    M: tl.constexpr,  # noqa: N803
    SHIFT: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """Where the tokens of a window lie, as ``WindowGrid.token_index``: [M * M] int64."""
    place = tl.arange(0, M * M)
    columns = width // M
    rows = height // M
    inside = number % (rows * columns)
    y = (inside // columns * M + SHIFT + place // M) % height
    x = (inside % columns * M + SHIFT + place % M) % width
    return (number // (rows * columns) * height + y) * width + x


@triton.jit
def _normed(
    flat: tl.tensor,
    token: tl.tensor,
    eps: tl.tensor,
    C: tl.constexpr,  # noqa: N803
    BLOCK_C: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """Tokens brought to mean 0 and variance 1: [M * M, BLOCK_C] of the map's type, 0 beyond C."""
    channel = tl.arange(0, BLOCK_C)[None, :]
    x = tl.load(flat + token[:, None] * C + channel, mask=channel < C, other=0.0).to(tl.float32)
    x = tl.where(channel < C, x - tl.sum(x, 1)[:, None] / C, 0.0)
    x *= tl.rsqrt(tl.sum(x * x, 1) / C + eps)[:, None]
    return x.to(flat.dtype.element_ty)


@triton.jit
def _add(
    flat: tl.tensor,
    token: tl.tensor,
    residual: tl.tensor,
    bias: tl.tensor,
    C: tl.constexpr,  # noqa: N803
    BLOCK_C: tl.constexpr,  # noqa: N803
) -> None:
    """Add a residual and its bias to tokens, in place."""
    channel = tl.arange(0, BLOCK_C)
    at = flat + token[:, None] * C + channel[None, :]
    here = (channel < C)[None, :]
    residual += _vector(bias, channel, channel < C)
    x = tl.load(at, mask=here, other=0.0).to(tl.float32)
    tl.store(at, x + residual, mask=here)

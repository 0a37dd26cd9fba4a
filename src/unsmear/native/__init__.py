"""A window block compiled for the CPU: the fast form of ``unsmear.layers.folded`` on x86-64.

The kernel is built with the package where a C++ compiler is there, once for each level of the
instruction set; the best level that was built and that the machine has computes. Everywhere else
the plain form does.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from unsmear.layers.folded import FoldedBlock
    from unsmear.layers.windows import WindowGrid

LEVELS = ("avx512_bf16", "avx512", "avx2")  # best first
_TOKENS = 64  # of a window
_PANEL = 16  # columns of a weight that lie together
_ENTRIES = {torch.float32: "run_float32", torch.bfloat16: "run_bfloat16"}


@cache
def usable_levels() -> tuple[str, ...]:
    """Those of :data:`LEVELS` that were built and that this machine has, best first."""
    return tuple(level for level in LEVELS if _supported(level))


def available(dtype: torch.dtype) -> bool:
    """Whether the kernel can compute maps of ``dtype`` here: float32 or bfloat16, on any level."""
    return dtype in _ENTRIES and bool(usable_levels())


def fits(folded: FoldedBlock) -> bool:
    """Whether the kernel can compute this block here: windows of 8 x 8, heads of 16 n channels."""
    weight = folded.proj_weight
    return (
        weight.device.type == "cpu"
        and available(weight.dtype)
        and folded.logit_bias.shape[-1] == _TOKENS
        and len(weight) % (_PANEL * folded.heads) == 0
        and len(folded.expand_weight) % _PANEL == 0
    )


class PackedBlock:
    """A window block with its weights as the kernel reads them.

    Factors of a product have the block's number type where the level multiplies it, else float32;
    all the rest is float32.

    Args:
        folded: a block that :func:`fits`.
        level: one of :func:`usable_levels`; by default the best.
    """

    def __init__(self, folded: FoldedBlock, level: str | None = None) -> None:
        level = level or usable_levels()[0]
        self._dtype = folded.proj_weight.dtype
        self._run = _library(level)[_ENTRIES[self._dtype]]
        in_pairs = self._dtype == torch.bfloat16 and level == "avx512_bf16"
        product = torch.bfloat16 if in_pairs else torch.float32
        heads = folded.heads
        self._tensors = (
            _panels(_by_head(folded.qkv_weight.T, heads).T, product),
            _plain(_by_head(folded.qkv_bias, heads)),
            _plain(folded.logit_bias) * math.log2(math.e),
            _panels(folded.proj_weight, product),
            _plain(folded.proj_bias),
            _panels(folded.expand_weight, product),
            _plain(folded.expand_bias),
            _plain(folded.taps),
            _plain(folded.taps_bias),
            _panels(folded.reduce_weight, product),
            _plain(folded.reduce_bias),
        )
        self._block = _Block(
            len(folded.proj_weight),
            heads,
            len(folded.expand_weight),
            len(folded.qkv_bias),
            len(folded.logit_bias),
            folded.eps,
            *(tensor.data_ptr() for tensor in self._tensors),
        )

    def run(self, flat: Tensor, grid: WindowGrid, numbers: Tensor, *, feed: bool = True) -> None:
        """Compute some windows of a map in place, on as many threads as torch has.

        Args:
            flat: [B * H * W, C] contiguous, of the block's number type.
            grid: the block's partition, M = 8.
            numbers: [K] int64, the windows, each once.
            feed: whether W-LeFF follows the attention.
        """
        assert flat.is_contiguous()
        assert flat.dtype == self._dtype
        assert grid.window_size**2 == _TOKENS
        numbers = numbers.contiguous()
        job = _Job(
            grid.height,
            grid.width,
            grid.shift,
            numbers.data_ptr(),
            len(numbers),
            feed,
            torch.get_num_threads(),
        )
        self._run(ctypes.byref(self._block), ctypes.byref(job), ctypes.c_void_p(flat.data_ptr()))


class _Block(ctypes.Structure):
    """``Block`` of the kernel; the pointers are in the order of its members."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "heads", "hidden", "places", "kinds")),
        ("eps", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("qkv_weight", "qkv_bias", "logit_bias")),
        *((name, ctypes.c_void_p) for name in ("proj_weight", "proj_bias")),
        *((name, ctypes.c_void_p) for name in ("expand_weight", "expand_bias")),
        *((name, ctypes.c_void_p) for name in ("taps", "taps_bias")),
        *((name, ctypes.c_void_p) for name in ("reduce_weight", "reduce_bias")),
    )


class _Job(ctypes.Structure):
    """``Job`` of the kernel."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("height", "width", "shift")),
        ("numbers", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("feed", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


def _by_head(qkv: Tensor, heads: int) -> Tensor:
    """Columns [.., 3 C] of queries, keys and values to those of head 0, head 1 and so on."""
    return qkv.unflatten(-1, (3, heads, -1)).transpose(-3, -2).flatten(-3)


def _panels(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Pack [out, in] into [out / 16, units of 32 bits, 16] of ``dtype``."""
    depth = 4 // dtype.itemsize
    panels = weight.to(dtype).unflatten(1, (-1, depth)).unflatten(0, (-1, _PANEL))
    return panels.transpose(1, 2).contiguous()


def _plain(tensor: Tensor) -> Tensor:
    return tensor.float().contiguous()


@cache
def _library(level: str) -> ctypes.CDLL:
    found = importlib.util.find_spec(f"{__name__}._{level}")
    if found is None or found.origin is None:
        raise ImportError(f"unsmear was installed without its native kernel for {level}")
    return ctypes.CDLL(found.origin)


def _supported(level: str) -> bool:
    try:
        return bool(_library(level).supported())
    except (ImportError, OSError):  # not built, or built for another machine
        return False

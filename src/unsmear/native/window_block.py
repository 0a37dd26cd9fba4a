"""A window block, compiled: the fast form of ``unsmear.layers.folded``."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unsmear.native.levels import PANEL, TOKENS, Level, available, plain

if TYPE_CHECKING:
    from unsmear.layers.folded import FoldedBlock
    from unsmear.layers.windows import WindowGrid


class PackedBlock:
    """A window block with its weights as the kernel reads them.

    Args:
        folded: a block that :meth:`fits`.
        level: see :class:`Level`.
    """

    def __init__(self, folded: FoldedBlock, level: str | None = None) -> None:
        self._level = Level(folded.proj_weight.dtype, level)
        self._run = self._level.entry("run")
        heads, panels = folded.heads, self._level.panels
        self._tensors = (
            panels(_by_head(folded.qkv_weight.T, heads).T),
            plain(_by_head(folded.qkv_bias, heads)),
            plain(folded.logit_bias) * math.log2(math.e),
            panels(folded.proj_weight),
            plain(folded.proj_bias),
            panels(folded.expand_weight),
            plain(folded.expand_bias),
            plain(folded.taps),
            plain(folded.taps_bias),
            panels(folded.reduce_weight),
            plain(folded.reduce_bias),
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

    @staticmethod
    def fits(folded: FoldedBlock) -> bool:
        """Whether it can compute this block here: windows of 8 x 8, heads of 16 n channels."""
        weight = folded.proj_weight
        return (
            weight.device.type == "cpu"
            and available(weight.dtype)
            and folded.logit_bias.shape[-1] == TOKENS
            and len(weight) % (PANEL * folded.heads) == 0
            and len(folded.expand_weight) % PANEL == 0
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
        assert flat.dtype == self._level.dtype
        assert grid.window_size**2 == TOKENS
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

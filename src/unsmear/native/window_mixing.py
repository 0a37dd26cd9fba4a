"""The middle of W-LeFF, compiled for training: forward and backward."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from unsmear.native.levels import PANEL, TOKENS, Level, available, plain


class WindowMixing:
    """GELU, depthwise 3x3 and GELU on windows of 8 x 8 tokens, as fast as memory gives them.

    Args:
        hidden: [K, 64, channels] float32 or bfloat16 that :meth:`fits`.
        taps: [9, channels] of the filter, row by row.
        bias: [channels].
        level: see :class:`Level`.
    """

    def __init__(
        self, hidden: Tensor, taps: Tensor, bias: Tensor, level: str | None = None
    ) -> None:
        self._level = Level(hidden.dtype, level)
        self._hidden, self._taps, self._bias = hidden.contiguous(), plain(taps), plain(bias)
        self._job = _Mixing(
            len(hidden),
            hidden.shape[-1],
            torch.get_num_threads(),
            self._taps.data_ptr(),
            self._bias.data_ptr(),
        )

    @staticmethod
    def fits(hidden: Tensor) -> bool:
        """Whether it can compute these windows here: 8 x 8 tokens, 16 n channels."""
        return (
            hidden.device.type == "cpu"
            and available(hidden.dtype)
            and hidden.shape[1] == TOKENS
            and hidden.shape[2] % PANEL == 0
        )

    def run(self) -> Tensor:
        """What comes out: [K, 64, channels] of the type of ``hidden``."""
        out = torch.empty_like(self._hidden)
        self._level.call("mix", self._job, self._hidden, out)
        return out

    def gradients(self, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of ``hidden``, of the taps and of the bias from that of the output."""
        hidden_slope = torch.empty_like(self._hidden)
        parts = self._level.library.parts_of_tap_slopes(ctypes.byref(self._job))
        totals = slope.new_empty(
            parts, len(self._taps) + 1, hidden_slope.shape[-1], dtype=torch.float32
        )
        slope = slope.to(hidden_slope.dtype).contiguous()
        self._level.call("mix_back", self._job, self._hidden, slope, hidden_slope, totals)
        *taps, bias = totals.sum(dim=0)
        return hidden_slope, torch.stack(taps), bias


class _Mixing(ctypes.Structure):
    """``Mixing`` of the kernel."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "channels", "threads")),
        *((name, ctypes.c_void_p) for name in ("taps", "bias")),
    )

"""Attention inside windows, compiled for training: forward and backward."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from unsmear.native.levels import PANEL, TOKENS, Level, available, plain


class AttentionCore:
    """Attention between the tokens of windows of 8 x 8, without the linear layers around it.

    Args:
        q: [K, 64, C] float32 or bfloat16 that :meth:`fits`.
        kv: [K, 64, 2 C], keys and then values.
        scale: of the products of queries and keys.
        bias: [heads, 64, 64], added to the logits of every window.
        seams: [kinds, 64, 64], added to those of every head, or none.
        kinds: [K] int64, which of ``seams`` each window takes.
        level: see :class:`Level`.
    """

    def __init__(
        self,
        q: Tensor,
        kv: Tensor,
        scale: float,
        bias: Tensor,
        seams: Tensor | None = None,
        kinds: Tensor | None = None,
        level: str | None = None,
    ) -> None:
        self._level = Level(q.dtype, level)
        self._q, self._kv, self._bias = q.contiguous(), kv.contiguous(), plain(bias)
        self._seams = None if seams is None else plain(seams)
        self._kinds = None if kinds is None else kinds.contiguous()
        self._job = _Attention(
            len(q),
            len(bias),
            q.shape[-1] // len(bias),
            torch.get_num_threads(),
            scale,
            self._bias.data_ptr(),
            None if self._seams is None else self._seams.data_ptr(),
            None if self._kinds is None else self._kinds.data_ptr(),
        )

    @staticmethod
    def fits(q: Tensor, heads: int) -> bool:
        """Whether it can compute these windows here: 8 x 8 tokens, heads of 16 n channels."""
        return (
            q.device.type == "cpu"
            and available(q.dtype)
            and q.shape[1] == TOKENS
            and q.shape[2] % (PANEL * heads) == 0
        )

    def run(self) -> Tensor:
        """What attention gives: [K, 64, C] of the type of ``q``."""
        out = torch.empty_like(self._q)
        self._level.call("attend", self._job, self._q, self._kv, out)
        return out

    def gradients(self, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of ``q``, ``kv`` and ``bias`` from that of the output."""
        q_slope, kv_slope = torch.empty_like(self._q), torch.empty_like(self._kv)
        parts = self._level.library.parts_of_bias_slopes(ctypes.byref(self._job))
        totals = slope.new_empty(parts, *self._bias.shape, dtype=torch.float32)
        slope = slope.to(q_slope.dtype).contiguous()
        self._level.call(
            "attend_back", self._job, self._q, self._kv, slope, q_slope, kv_slope, totals
        )
        return q_slope, kv_slope, totals.sum(dim=0)


class _Attention(ctypes.Structure):
    """``Attention`` of the kernel."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "heads", "size", "threads")),
        ("scale", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("bias", "seams", "kinds")),
    )

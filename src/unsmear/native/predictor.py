"""A confidence predictor, compiled: the fast form of ``unsmear.layers.folded_predictor``."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.native.levels import PANEL, TOKENS, Level, available, plain

if TYPE_CHECKING:
    from unsmear.layers.folded_predictor import FoldedPredictor


class PackedPredictor:
    """A confidence predictor with its weights as the kernel reads them.

    Args:
        folded: a predictor that :meth:`fits`.
        level: see :class:`Level`.
    """

    def __init__(self, folded: FoldedPredictor, level: str | None = None) -> None:
        self._folded = folded
        self._level = Level(folded.embed_weight.dtype, level)
        self._channels = len(folded.embed_weight)
        self._judged, self._hidden = (
            _filled(len(weight)) for weight in (folded.judge_weight, folded.hidden_weight)
        )
        channels, judged, hidden = self._channels, self._judged, self._hidden
        panels = self._level.panels
        self._tensors = (
            panels(folded.embed_weight),
            plain(folded.embed_bias),
            panels(_fill(folded.judge_weight, judged, channels)),
            panels(_fill(folded.hidden_weight, hidden, judged)),
            plain(_fill(folded.hidden_bias, hidden)),
            plain(_fill(folded.score_weight, 2, hidden)),
            plain(folded.score_bias),
        )
        self._predictor = _Predictor(
            channels, judged, hidden, folded.eps, *(tensor.data_ptr() for tensor in self._tensors)
        )

    @staticmethod
    def fits(folded: FoldedPredictor) -> bool:
        """Whether it can compute this predictor here: 16 n channels."""
        weight = folded.embed_weight
        return weight.device.type == "cpu" and available(weight.dtype) and len(weight) % PANEL == 0

    def run(self, image: Tensor, mean: Tensor | None) -> tuple[Tensor, Tensor]:
        """Score one image on as many threads as torch has.

        Args:
            image: [H, W, C] of the predictor's number type.
            mean: float32 [C / 2] instead of the image's own, or none.

        Returns:
            float32 scores [H, W, 2], and the image's own mean, float32 [C / 2].
        """
        h, w, _ = image.shape
        tokens = image.contiguous()
        assert tokens.dtype == self._level.dtype
        job = _Image(h * w, torch.get_num_threads())
        rows = -(-h * w // TOKENS) * TOKENS
        judged = tokens.new_empty(rows, self._judged)
        groups = self._level.library.rows_of_totals(ctypes.byref(job))
        totals = tokens.new_empty(groups, self._channels, dtype=torch.float32)
        self._level.call("embed", self._predictor, job, tokens, judged, totals)
        total = totals.sum(dim=0, dtype=torch.float64).float()
        own, bias = self._folded.shared(total / (h * w), mean)
        scores = tokens.new_empty(rows, 2, dtype=torch.float32)
        self._level.call(
            "judge", self._predictor, job, judged, plain(_fill(bias, self._judged)), scores
        )
        return scores[: h * w].reshape(h, w, 2), own


class _Predictor(ctypes.Structure):
    """``Predictor`` of the kernel; the pointers are in the order of its members."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "judged", "hidden")),
        ("eps", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("embed_weight", "embed_bias", "judge_weight")),
        *((name, ctypes.c_void_p) for name in ("hidden_weight", "hidden_bias")),
        *((name, ctypes.c_void_p) for name in ("score_weight", "score_bias")),
    )


class _Image(ctypes.Structure):
    """``Image`` of the kernel."""

    _fields_ = (("tokens", ctypes.c_int64), ("threads", ctypes.c_int64))


def _filled(width: int) -> int:
    """The next multiple of a panel."""
    return -(-width // PANEL) * PANEL


def _fill(tensor: Tensor, *shape: int) -> Tensor:
    """Zeros behind what there is, up to ``shape``."""
    missing = ((0, new - old) for new, old in zip(shape[::-1], tensor.shape[::-1], strict=True))
    return F.pad(tensor, [side for pair in missing for side in pair])

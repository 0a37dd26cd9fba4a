"""Weights of a deeper LMD-ViT from a shallower one's, so that training need not begin again."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_PLACE = re.compile(r"(?P<stage>.+)\.(?P<kind>blocks|predictors)\.(?P<index>\d+)\.(?P<rest>.+)")
_LAST_OF_A_RESIDUAL = ("attention.proj.", "feed_forward.reduce.")


def grown(state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add what a deeper network, or one pruned at more stages, needs beyond a checkpoint.

    A block that the stage lacks begins as a copy of its block with the same shift (of its only
    block, where it has one), with zeros in the last layers of both residuals: it changes nothing
    yet, and learns at once. A second predictor begins as a copy of the first. Predictors of a stage
    that had none begin as ``needed`` has them. Whatever else is lacking stays lacking.

    Args:
        state: the checkpoint's tensors by name.
        needed: the larger network's, freshly initialised; the shapes of its stages are the same.
    """
    lacking = {name: fresh for name, fresh in needed.items() if name not in state}
    places = {name: _PLACE.fullmatch(name) for name in lacking}
    return dict(state) | {
        name: _begun(place, state, lacking[name])
        for name, place in places.items()
        if place is not None
    }


def _begun(place: re.Match[str], state: Mapping[str, Tensor], fresh: Tensor) -> Tensor:
    stage, kind, index, rest = place.group("stage", "kind", "index", "rest")
    if kind == "blocks" and rest.startswith(_LAST_OF_A_RESIDUAL):
        return torch.zeros_like(fresh)
    same_shift = f"{stage}.{kind}.{int(index) % 2}.{rest}"
    return state.get(same_shift, state.get(f"{stage}.{kind}.0.{rest}", fresh))

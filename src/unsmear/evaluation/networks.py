"""Our networks as restorers, run by the engine that photos go through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unsmear.errors import InputError
from unsmear.evaluation.restorer import Answer, Decision
from unsmear.evaluation.settings import Setting, stages_in_words
from unsmear.inference import Deblurrer, Steering
from unsmear.inference.composite import compose
from unsmear.inference.restoration import Request, Restoration
from unsmear.models import DeblurringNetwork, LMDViT, load_model
from unsmear.models.cost import network_cost


class NetworkRestorer(Deblurrer):
    """A checkpoint under one setting.

    Pictures come whole, or in tiles where memory is short, as the engine sees fit.

    Args:
        model: a bundled name or a checkpoint's path.
        setting: threshold, pruned stages, budget and what is taken as the result.
        device: see :class:`Deblurrer`.
        dtype: likewise.
        tile: likewise.

    Raises:
        InputError: stages that the checkpoint has no predictors for, or a budget that it has not.
        ModelError: no such model.
    """

    def __init__(
        self,
        model: str | Path,
        setting: Setting,
        *,
        device: str = "auto",
        dtype: str = "auto",
        tile: int | None = None,
    ) -> None:
        network = load_model(model)
        able, wanted = _pruned_stages(network), setting.pruned_stages
        if wanted is not None and wanted != able:
            if not set(wanted) <= set(able):
                raise InputError(
                    f"{model} has predictors in stages {stages_in_words(able)} and cannot prune "
                    f"{stages_in_words(wanted)}; choose among those it has."
                )
            network = load_model(model, pruned_stages=wanted)
        super().__init__(network, device=device, dtype=dtype, tile=tile)
        self.name = str(model)
        if setting.budget and not network.takes_budget:
            raise InputError(f"{model} samples no pixels and has no budget to change.")
        budget = (setting.budget or 0.0) if network.takes_budget else None
        self._asked = replace(setting, pruned_stages=_pruned_stages(network), budget=budget)
        self.setting: Setting | None = self._asked
        self.parameters = sum(parameter.numel() for parameter in network.parameters())

    def __call__(self, blurred: Tensor) -> Answer:
        """Restore one picture [1, 3, H, W], float32 RGB in [0, 1] on the CPU."""
        asked = self._asked
        budget = asked.budget or 0.0
        request = Request(asked.threshold, None, asked.dense, budget)
        with _listening(self.network) as passes:
            result = self._restore(blurred[0], request, None)
        height, width = blurred.shape[-2:]
        return Answer(
            self._result(blurred, result),
            multiply_adds_dense=network_cost(self.network, height, width).dense,
            multiply_adds_spent=sum(_spent(self.network, each, budget) for each in passes),
            decisions=tuple(self._decisions(result)),
            last_kept=result.kept[None, None] if result.keep else None,
        )

    def _result(self, blurred: Tensor, result: Restoration) -> Tensor:
        if not self._asked.composite:
            return result.restored[None]
        rgb = (blurred[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
        weight = self._weight(result, None, Steering(dense=self._asked.dense))
        made = compose(rgb, result.restored, weight).rgb
        # Planes, as every other picture that is judged: SSIM's rounding follows the layout.
        return torch.from_numpy(made).permute(2, 0, 1)[None].contiguous().float() / 255

    def _decisions(self, result: Restoration) -> Iterator[Decision]:
        network = self.network
        if isinstance(network, LMDViT):
            for (stage, shift), keep in zip(network.predictor_places, result.keep, strict=True):
                scale = network.scale_of(stage)
                yield Decision(stage, shift, scale, network.config.window_size, keep)


def _pruned_stages(network: DeblurringNetwork) -> tuple[int, ...]:
    return tuple(dict.fromkeys(stage for stage, _ in network.predictor_places))


class _Pass(NamedTuple):
    """One run of the network: the size of what it saw, and what it kept."""

    height: int
    width: int
    keep: tuple[Tensor, ...]


@contextmanager
def _listening(network: DeblurringNetwork) -> Iterator[list[_Pass]]:
    """Note every run of the network, so that tiles and their overlaps count too."""
    passes: list[_Pass] = []

    def note(_: object, given: tuple[Any, ...], out: Any) -> None:
        height, width = given[0].shape[-2:]
        passes.append(_Pass(height, width, out.keep if network.predictor_places else ()))

    handle = network.register_forward_hook(note)
    try:
        yield passes
    finally:
        handle.remove()


def _spent(network: DeblurringNetwork, run: _Pass, budget: float) -> int:
    """Multiply-adds of one run, with the windows it kept or the budget it had."""
    cost = network_cost(network, run.height, run.width, budget)
    shares = [[1.0, 1.0] for _ in cost.stages]
    for (stage, shift), keep in zip(network.predictor_places, run.keep, strict=True):
        shares[stage - 1][1 if shift else 0] = float(keep.sum()) / keep.numel()
    return cost.spent([(plain, shifted) for plain, shifted in shares])

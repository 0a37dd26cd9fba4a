"""What a training run is made of, beside Lightning's own trainer: plain dataclasses.

A YAML file fills them; ``unsmear train --settings`` prints every value with what it means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from unsmear.data import SynthesisConfig
from unsmear.data.mixture import SourceConfig
from unsmear.errors import InputError

DecisionMode = Literal["sampled", "pruned", "mask", "all"]


@dataclass(frozen=True)
class Phase:
    """A part of the run with its own patches and decisions.

    Attributes:
        until: share of the run at which the phase ends, in (0, 1].
        patch_size: side of the training patches in pixels.
        batch_size: patches a step, over all devices together.
        aimed_share: share of the patches that are centred on blur; half in the paper.
        decisions: "sampled": the paper's training, Gumbel-Softmax over the predictors' scores
            with every window computed. "pruned": the same draws, but pruned windows are not
            computed, so that the predictors learn from the pruning loss alone; half as long where
            most windows go. "mask": keep the windows that the blur mask touches and compute only
            those, while the predictors learn from the pruning loss alone; about twice as fast,
            and free of the predictors' early guesses. "all": prune nothing.
        samplers_learn: whether samplers of pixels learn yet; SAPHN lets the network alone train
            for some epochs before.
    """

    until: float = 1.0
    patch_size: int = 256
    batch_size: int = 12
    aimed_share: float = 0.5
    decisions: DecisionMode = "sampled"
    samplers_learn: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.until <= 1:
            raise InputError(f"A phase's `until` lies in (0, 1], got {self.until}.")
        for name in ("patch_size", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"A phase's `{name}` is 1 or more, got {getattr(self, name)}.")
        if not 0 <= self.aimed_share <= 1:
            raise InputError(f"A phase's `aimed_share` lies in [0, 1], got {self.aimed_share}.")
        if self.decisions not in get_args(DecisionMode):
            modes = ", ".join(f'"{mode}"' for mode in get_args(DecisionMode))
            raise InputError(f"`decisions` is one of {modes}, got {self.decisions!r}.")


def check_phases(phases: Sequence[Phase]) -> None:
    """Refuse phases that do not cover a run.

    Raises:
        InputError: they do not rise to 1.
    """
    ends = [phase.until for phase in phases]
    if not ends or ends != sorted(ends) or ends[-1] != 1:
        raise InputError(f"The phases' `until` must rise to 1, got {ends}.")


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move.

    Attributes:
        name: "adamw", the paper's; or "muon", which steps weight matrices by Muon and the rest by
            AdamW, and gets further in a few thousand steps.
        learning_rate: highest rate, reached after ``warmup_steps``.
        matrix_rate: the same for matrices under Muon.
        predictor_rate: the same for the confidence predictors; None for ``learning_rate``. Their
            weights begin ten times larger than the blocks' and need larger steps in a short run.
        final_share: share of the rates that is left at the end of the cosine.
        warmup_steps: linear rise from 0.
        weight_decay: on weight matrices only.
        ema: decay of the averaged weights that are validated and kept; it rises to this value from
            a mean over all steps, so that short runs do not drag their first weights along.
    """

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-4
    matrix_rate: float = 1e-3
    predictor_rate: float | None = None
    final_share: float = 0.005
    warmup_steps: int = 200
    weight_decay: float = 0.01
    ema: float = 0.999

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "muon"):
            raise InputError(f'The optimizer is "adamw" or "muon", got {self.name!r}.')
        for name in ("learning_rate", "matrix_rate", "predictor_rate", "weight_decay"):
            if not 0 <= (getattr(self, name) or 0) < math.inf:  # nor nan
                raise InputError(f"The optimizer's `{name}` is 0 or more: {getattr(self, name)}.")
        for name in ("final_share", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    f"The optimizer's `{name}` lies in [0, 1], got {getattr(self, name)}."
                )


@dataclass(frozen=True)
class PoolConfig:
    """The synthesizer's samples, which the source of layout "synthesis" stands for.

    Attributes:
        folder: holds ``stills/``, and perhaps ``objects/`` (cut-outs) and ``video/`` (clips).
        split: YAML list of the files that are kept for validation and never trained on, or
            "tenth" for a tenth of what the folder holds.
        cache: folder for the samples; they are made once, on first use.
        samples: how many different samples are synthesized.
        size: their side in pixels.
        seed: another seed, other samples.
        synthesis: what the samples look like; kinds that the folder has no material for are left
            out.
    """

    folder: str = "data"
    split: str = "configs/validation_split.yaml"
    cache: str = "runs/pool"
    samples: int = 6000
    size: int = 320
    seed: int = 0
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)


@dataclass(frozen=True)
class ValidationConfig:
    """What the weights are judged on after each epoch.

    Attributes:
        source: a data set; None for the synthesizer's held-out samples of the pool's ``split``, or
            without synthesis for the first source. Pairs validated on are not trained on.
        samples: how many pairs of it, evenly spread.
        size: side of the square that is cut from each, about its blur, in pixels.
    """

    source: SourceConfig | None = None
    samples: int = 16
    size: int = 384

    def __post_init__(self) -> None:
        if self.samples < 0 or self.size < 1:
            raise InputError(
                f"Validation takes `samples` from 0 of a `size` from 1 px, got {self.samples} of "
                f"{self.size}."
            )

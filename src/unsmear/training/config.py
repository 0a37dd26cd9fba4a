"""What a training run is: dataclasses, and the YAML file that fills them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from unsmear.data import SynthesisConfig
from unsmear.errors import InputError
from unsmear.models import CONFIGS
from unsmear.training.losses import LossConfig

DecisionMode = Literal["sampled", "mask", "all"]


@dataclass(frozen=True)
class Phase:
    """A part of the run with its own patches and decisions.

    Attributes:
        until: share of the run at which the phase ends, in (0, 1].
        patch_size: side of the training patches in pixels.
        batch_size: patches a step.
        aimed_share: share of the patches that are centred on blur; half in the paper.
        decisions: "sampled": the paper's training, Gumbel-Softmax over the predictors' scores
            with every window computed. "mask": keep the windows that the blur mask touches and
            compute only those, while the predictors learn from the pruning loss alone; about
            twice as fast, and free of the predictors' early guesses. "all": prune nothing.
    """

    until: float = 1.0
    patch_size: int = 256
    batch_size: int = 12
    aimed_share: float = 0.5
    decisions: DecisionMode = "sampled"

    def __post_init__(self) -> None:
        if not 0 < self.until <= 1:
            raise InputError(f"A phase's `until` lies in (0, 1], got {self.until}.")
        if self.decisions not in ("sampled", "mask", "all"):
            raise InputError(f'`decisions` is "sampled", "mask" or "all", got {self.decisions!r}.')


@dataclass(frozen=True)
class DataConfig:
    """Where training material lies and what is made of it.

    Attributes:
        folder: holds ``stills/``, and perhaps ``objects/`` (cut-outs) and ``video/`` (clips).
        validation_split: YAML list of the files that are never trained on.
        cache: folder for synthesized samples; they are made once, on first use.
        samples: how many different samples are synthesized.
        sample_size: their side in pixels.
        epoch_size: patches drawn an epoch; validation follows each.
        validation_samples: held-out samples for validation while training.
        validation_size: their side in pixels.
        workers: loader processes; 0 loads in the training process.
        synthesis: what the samples look like.
    """

    folder: str = "data"
    validation_split: str = "configs/validation_split.yaml"
    cache: str = "runs/pool"
    samples: int = 6000
    sample_size: int = 320
    epoch_size: int = 3000
    validation_samples: int = 16
    validation_size: int = 384
    workers: int = 1
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)


@dataclass(frozen=True)
class TrainConfig:
    """A whole run.

    Attributes:
        model: name of a configuration in ``unsmear.models``.
        overrides: its fields to change.
        init: checkpoint to start from instead of fresh weights, such as one to fine-tune;
            predictors that it lacks start fresh.
        output: folder for checkpoints, logs and the final weights.
        seed: of weights, patches and samples.
        steps: optimiser steps of the run; or
        minutes: its length in time, for machines whose speed is not known beforehand. The
            learning rate and the phases follow whichever is set.
        optimizer: "adamw", the paper's; or "muon", which steps weight matrices by Muon and the rest
            by AdamW, and gets further in a few thousand steps.
        learning_rate: highest rate, reached after ``warmup_steps``.
        matrix_rate: the same for matrices under Muon; None for twice ``learning_rate``.
        final_rate: rate at the end of the cosine.
        warmup_steps: linear rise from 0.
        weight_decay: on weight matrices only.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights that are validated and kept; it rises to this value from
            a mean over all steps, so that short runs do not drag their first weights along.
        precision: Lightning's precision, "bf16-mixed" or "32-true".
        device: Lightning's accelerator: "auto", "cpu", "gpu".
        devices: how many of them; on the CPU, processes that share the cores (one thread each
            is the fastest where other programs compete for the cores).
        loss: weights of the loss terms.
        phases: in order, the last ending at 1.
        data: training material.
    """

    model: str = "lmdvit-tiny"
    overrides: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    output: str = "runs/lmdvit-tiny"
    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-4
    matrix_rate: float | None = None
    final_rate: float = 1e-6
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "bf16-mixed"
    device: str = "auto"
    devices: int | str = "auto"
    loss: LossConfig = field(default_factory=LossConfig)
    phases: tuple[Phase, ...] = (Phase(),)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        if self.model not in CONFIGS:
            raise InputError(f"There is no model {self.model!r}; there are {', '.join(CONFIGS)}.")
        if self.optimizer not in ("adamw", "muon"):
            raise InputError(f'The optimizer is "adamw" or "muon", got {self.optimizer!r}.')
        if (self.steps is None) == (self.minutes is None):
            raise InputError("Give the run's length either as `steps` or as `minutes`.")
        ends = [phase.until for phase in self.phases]
        if not ends or ends != sorted(ends) or ends[-1] != 1:
            raise InputError(f"The phases' `until` must rise to 1, got {ends}.")

    def phase_at(self, progress: float) -> Phase:
        """The phase in force when a share ``progress`` of the run is over."""
        return next((phase for phase in self.phases if progress < phase.until), self.phases[-1])


def load_config(path: str | Path) -> TrainConfig:
    """Read a YAML file.

    Raises:
        InputError: a missing file, broken YAML, or a value that the run does not know.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise InputError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
    return _build(TrainConfig, values or {}, str(path))


_NESTED = {"loss": LossConfig, "data": DataConfig, "synthesis": SynthesisConfig}


def _build(kind: type, values: Any, where: str) -> Any:
    """Fill a dataclass from a mapping, refusing names it does not have."""
    if not isinstance(values, dict):
        raise InputError(f"{where} must hold names with values.")
    known = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(
            f"{where} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}."
        )
    made = {
        name: _build(_NESTED[name], value, f"{where}: {name}") if name in _NESTED else value
        for name, value in values.items()
    }
    if "phases" in made:
        phases = [_build(Phase, phase, f"{where}: phases") for phase in made["phases"]]
        made["phases"] = tuple(phases)
    # YAML reads "1e-3" as a string, and lists where tuples are meant.
    made = {k: tuple(v) if isinstance(v, list) else v for k, v in made.items()}
    try:
        return kind(**made)
    except TypeError as error:
        raise InputError(f"{where} holds a value of the wrong type: {error}.") from None

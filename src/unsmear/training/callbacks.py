"""What a run does beside learning: resumes exactly, stops when asked, averages, tells the time."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar, WeightAveraging
from torch import Tensor


class RandomStates(L.Callback):
    """Saves every process's random states, and gives them back before the first resumed step."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, Any, Tensor]] | None = None

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Collect the states of all processes."""
        kind, words, *place = np.random.get_state()  # noqa: NPY002
        # Words, not an array: torch reads arrays only from a file that it trusts.
        numpy = (kind, words.tolist(), *place)  # pyright: ignore[reportAttributeAccessIssue]
        own = (random.getstate(), numpy, torch.get_rng_state())
        states = [own]
        if trainer.world_size > 1:
            states = [own] * trainer.world_size
            torch.distributed.all_gather_object(states, own)
        checkpoint["random_states"] = states

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep them until setting up is over, which draws numbers of its own."""
        self._saved = checkpoint.get("random_states")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Go on drawing where the saved run stopped."""
        if self._saved is not None and len(self._saved) == trainer.world_size:
            python, numpy, torchs = self._saved[trainer.global_rank]
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            torch.set_rng_state(torchs)
        self._saved = None


class StopWhenAsked(L.Callback):
    """Ends the run after the step in hand at SIGTERM or Ctrl-C, so that it can go on another day.

    A second Ctrl-C ends it at once.

    Attributes:
        asked: number of the signal that came to this process or the first one, 0 before.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen, in place of Lightning's own handlers, which end without a checkpoint."""
        signals = (signal.SIGTERM, signal.SIGINT)
        self._before = {number: signal.signal(number, self._ask) for number in signals}

    def _ask(self, number: int, _: Any) -> None:
        self.asked = number
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop in all processes at once; :class:`LastCheckpoint` saves what is done so far."""
        self.asked = trainer.strategy.broadcast(self.asked)
        trainer.should_stop = trainer.should_stop or self.asked > 0

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Listen no longer."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._ask:
                signal.signal(number, before)


class LastCheckpoint(Checkpoint):
    """Saves the last step before the run ends its epoch, so that it can go on within it.

    Once fitting is over the epoch counts as done, and the averaged weights have replaced those that
    were learning.

    Args:
        folder: of the checkpoints.

    Attributes:
        saved: the step, -1 before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = -1

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look whether it was the last; as a checkpoint callback it comes after all that decide."""
        if trainer.should_stop or trainer.global_step == trainer.max_steps:
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Save the step in hand, once."""
        if self.saved != trainer.global_step:
            self.saved = trainer.global_step
            trainer.save_checkpoint(self.folder / f"step={trainer.global_step:08d}.ckpt")


class AveragedWeights(WeightAveraging):
    """An exponential mean of the weights whose memory grows with the run.

    Args:
        decay: what the memory grows up to.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        super().__init__(use_buffers=False, avg_fn=self._average)

    def _average(self, averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        share = 1 - min(self.decay, (1 + int(steps)) / (10 + int(steps)))
        return torch.lerp(averaged, current.to(averaged.dtype), share)


class ProgressBar(RichProgressBar):
    """Lightning's, with the time that the whole run will still take."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of this session."""
        super().on_train_start(trainer, pl_module)
        self._began = time.monotonic(), float(pl_module.progress)  # pyright: ignore

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Add the time left."""
        metrics: dict[str, Any] = {**super().get_metrics(trainer, pl_module)}
        metrics.pop("v_num", None)
        start, before = self._began
        done = float(pl_module.progress) - before  # pyright: ignore
        if done > 0:
            left = (time.monotonic() - start) / done * (1 - before - done)
            metrics["left"] = f"{int(left // 3600)}:{int(left % 3600 // 60):02}:{int(left % 60):02}"
        return metrics

    def _get_train_description(self, current_epoch: int) -> str:
        """Name the epoch; the last one too only where the run's length is told in epochs."""
        if self.trainer.max_epochs != -1:
            return super()._get_train_description(current_epoch)
        return f"Epoch {current_epoch}".ljust(len(self.validation_description))

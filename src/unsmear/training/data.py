"""Loaders of a run: mixed patches for training, held-out samples for validation."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from functools import cache, partial
from multiprocessing.synchronize import Event
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset, Sampler

from unsmear.data import (
    BlurSynthesizer,
    BlurTriple,
    SamplePool,
    ValidationSplit,
    crop_patch,
    fitted,
    training_library,
    validation_samples,
)
from unsmear.data.mixture import (
    SYNTHESIS,
    MaskedPairs,
    PatchMixture,
    Samples,
    SourceConfig,
    open_parts,
)
from unsmear.data.pool import bytes_to_unit
from unsmear.errors import InputError
from unsmear.training.config import Phase, PoolConfig, ValidationConfig, check_phases

MOST_HELD_OUT = 5  # one in so many pairs of a set that is trained on, too
CALIBRATION_PATCHES = 96
CALIBRATION_EPOCH = 2**40  # no run gets there: patches that were not trained on


class LocalBlur(L.LightningDataModule):
    """Patches mixed from data sets and synthesized samples; their size follows the run's phase.

    Args:
        sources: what is mixed, by weight; None for the synthesized samples alone. Of a data set
            that is also validated on, those pairs are left out.
        phases: in order, the last ending at 1; None for the paper's patches all along.
        pool: the synthesized samples.
        validation: what the weights are judged on.
        epoch_size: patches drawn an epoch; validation follows each.
        workers: loader processes; 0 loads in the training process. A run repeats whatever their
            number: patch i of epoch e depends on the seed, e and i alone.
        seed: of the patches.

    Raises:
        InputError: phases that do not cover the run or do not fit into an epoch, or material that
            is not there.
    """

    def __init__(
        self,
        sources: list[SourceConfig] | None = None,
        phases: list[Phase] | None = None,
        pool: PoolConfig = PoolConfig(),  # noqa: B008 - frozen
        validation: ValidationConfig = ValidationConfig(),  # noqa: B008 - frozen
        epoch_size: int = 3000,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sources = tuple(sources or [SourceConfig(SYNTHESIS)])
        self.phases = tuple(phases or [Phase(patch_size=512)])
        check_phases(self.phases)
        largest = max(phase.batch_size for phase in self.phases)
        if epoch_size < largest:
            raise InputError(
                f"An epoch of {epoch_size} patches holds no step of {largest}: raise "
                "data.epoch_size, or lower the phase's batch_size."
            )
        if workers < 0:
            raise InputError(f"data.workers is a number of processes from 0, got {workers}.")
        self.pool = pool
        self.validation = validation
        self.epoch_size = epoch_size
        self.workers = workers
        self.seed = seed
        self._resumed: dict[str, int] = {}
        self.phase = self.phases[0]

    def setup(self, stage: str) -> None:
        """Open the material."""
        made = any(source.layout == SYNTHESIS for source in self.sources)
        self._parts = open_parts(self.sources, self._open_pool() if made else None)
        wanted = self.validation
        if wanted.source is None and made:
            self._held_out = validation_samples(
                self.pool.folder, self.pool.split, wanted.samples, wanted.size
            )
        else:
            self._held_out = self._hold_out(wanted.source or self.sources[0])

    def _open_pool(self) -> SamplePool:
        pool = self.pool
        library = training_library(pool.folder, ValidationSplit.named(pool.split, pool.folder))
        config = fitted(pool.synthesis, library)
        synthesizer = BlurSynthesizer(library, config, pool.seed, pool.size)
        return SamplePool(pool.cache, synthesizer, pool.samples)

    def _hold_out(self, source: SourceConfig) -> CutSamples:
        """Open the pairs to validate on, and take them from a part that trains on the same."""
        (judged,) = open_parts([source])
        pictures = _pictures(judged.samples)
        trained = [_pictures(part.samples) for part in self._parts]
        count = self.validation.samples
        for own in trained:
            if set(own).isdisjoint(pictures):
                continue
            if len(own) < 2:
                raise InputError(
                    f"{source.path} holds a single pair: add some to leave out for validation, or "
                    "name others as data.validation.source"
                )
            count = min(count, max(1, len(own) // MOST_HELD_OUT))
        held_out = CutSamples(judged.samples, count, self.validation.size)
        seen = {pictures[number] for number in held_out.numbers} if pictures else set()
        self._parts = tuple(
            part
            if seen.isdisjoint(own)
            else part._replace(samples=Remaining(part.samples, _numbers_of(seen, own)))
            for part, own in zip(self._parts, trained, strict=True)
        )
        return held_out

    def phase_at(self, progress: float) -> int:
        """Number of the phase in force when a share ``progress`` of the run is over."""
        numbers = (n for n, phase in enumerate(self.phases) if progress < phase.until)
        return next(numbers, len(self.phases) - 1)

    def train_dataloader(self) -> DataLoader[BlurTriple]:
        """Patches for one epoch; asked for anew before each."""
        trainer = self.trainer
        assert trainer is not None, "only a trainer asks for loaders"
        epoch = trainer.current_epoch
        resumed = self._resumed if self._resumed.get("epoch") == epoch else {}
        self._resumed = {}
        number = resumed.get("phase", self.phase_at(trainer.lightning_module.progress))  # pyright: ignore
        self.phase = phase = self.phases[number]
        patches = PatchMixture(
            self._parts, phase.patch_size, self.epoch_size, self.seed, phase.aimed_share
        )
        patches.set_epoch(epoch)
        ranks = trainer.world_size
        batch_size = max(1, phase.batch_size // ranks)
        if batch_size * ranks != phase.batch_size:
            rank_zero_warn(
                f"{ranks} devices cannot share {phase.batch_size} patches evenly: a step takes "
                f"{batch_size * ranks}"
            )
        return DataLoader(
            patches,
            batch_size=batch_size,
            sampler=RestOfEpoch(
                # As many for each process: one with a batch more would wait for the others forever.
                range(self.epoch_size // ranks * ranks)[trainer.global_rank :: ranks],
                batch_size * resumed.get("batches", 0),
            ),
            num_workers=self.workers,
            worker_init_fn=partial(_outlive_signals, _end_of_process()),
            drop_last=True,
            pin_memory=torch.cuda.is_available(),
            # Its own, or a resumed run would draw other random numbers than one in one piece.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def val_dataloader(self) -> DataLoader[BlurTriple]:
        """Held-out samples, one at a time and always the same."""
        return DataLoader(
            self._held_out,  # pyright: ignore[reportArgumentType] - a sequence serves
            batch_size=1,
            generator=torch.Generator(),
        )

    def for_calibration(self) -> list[BlurTriple]:
        """Patches to set the predictors on: the largest of the run, half of them about blur."""
        size = max(phase.patch_size for phase in self.phases)
        patches = PatchMixture(self._parts, size, CALIBRATION_PATCHES, self.seed)
        patches.set_epoch(CALIBRATION_EPOCH)
        return [patches[index] for index in range(len(patches))]

    def state_dict(self) -> dict[str, Any]:
        """Where in the epoch the run is."""
        trainer = self.trainer
        assert trainer is not None, "only a trainer saves"
        done = trainer.fit_loop.epoch_loop.batch_progress.current.processed  # pyright: ignore
        return {
            "epoch": trainer.current_epoch,
            "batches": done,
            "phase": self.phases.index(self.phase),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the batches that the saved run had done."""
        self._resumed = state_dict


class RestOfEpoch(Sampler[int]):
    """Numbers of an epoch's patches without those that were trained on before a run stopped.

    Its length is the whole epoch's: Lightning goes on counting batches where it stopped.

    Args:
        numbers: of the whole epoch, of one process.
        done: how many of them to leave out.
    """

    def __init__(self, numbers: Sequence[int], done: int = 0) -> None:
        self.numbers = numbers
        self.done = done

    def __len__(self) -> int:
        """Count the whole epoch."""
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        """Give what is left."""
        return iter(self.numbers[self.done :])


class Remaining:
    """The pairs of a data set that are not validated on.

    Args:
        samples: all pairs.
        held_out: numbers of those to leave out.
    """

    def __init__(self, samples: Samples, held_out: Sequence[int]) -> None:
        self.samples = samples
        self.numbers = sorted(set(range(len(samples))) - set(held_out))

    def __len__(self) -> int:
        """Count them."""
        return len(self.numbers)

    def bytes_of(self, index: int) -> BlurTriple:
        """Give one, see :class:`unsmear.data.mixture.Samples`."""
        return self.samples.bytes_of(self.numbers[index])


class CutSamples(Dataset[BlurTriple]):
    """Squares about the blur of some pairs of a data set, always the same.

    Args:
        samples: the pairs.
        count: how many, evenly spread; all where there are fewer.
        size: side of the squares in pixels; smaller where a picture is.
    """

    def __init__(self, samples: Samples, count: int, size: int) -> None:
        self.samples = samples
        self.size = size
        count = min(count, len(samples))
        self.numbers = np.linspace(0, len(samples) - 1, count).round().astype(int).tolist()

    def __len__(self) -> int:
        """Count the squares."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> BlurTriple:
        """Give one: [3, S, S] blurred and sharp in [0, 1], [1, S, S] mask."""
        sample = self.samples.bytes_of(self.numbers[index])
        size = min(self.size, *sample.blurred.shape[-2:])
        return bytes_to_unit(crop_patch(sample, size, np.random.default_rng(index), 1.0))


def _pictures(samples: Samples) -> list[str]:
    """The blurred files of a data set's pairs, in order; none of synthesized samples."""
    if not isinstance(samples, MaskedPairs):
        return []
    return [os.path.realpath(files.blurred) for files in samples.source.files]


def _numbers_of(some: set[str], pictures: Sequence[str]) -> list[int]:
    return [number for number, picture in enumerate(pictures) if picture in some]


@cache
def _end_of_process() -> Event:
    """Set when this process begins to end, before it has its loaders end."""
    event = multiprocessing.Event()
    atexit.register(event.set)
    return event


def _outlive_signals(end: Event, _: int) -> None:
    """SIGTERM and Ctrl-C go to all processes; loaders are needed until the step is saved.

    That of the process that they load for, which waits for them when it ends, must end them.
    """

    def handle(*_: Any) -> None:
        if end.is_set():
            os._exit(0)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Loaders of a run: synthesized patches for training, held-out samples for validation."""

from __future__ import annotations

import lightning as L
import torch
from torch.utils.data import DataLoader

from unsmear.data import (
    BlurSynthesizer,
    BlurTriple,
    PatchDataset,
    SamplePool,
    ValidationSplit,
    training_library,
    validation_samples,
)
from unsmear.training.config import Phase, TrainConfig


class SynthesizedBlur(L.LightningDataModule):
    """Patches whose size follows the phase of the run.

    Args:
        config: the run.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        data = config.data
        split = ValidationSplit.from_yaml(data.validation_split)
        library = training_library(data.folder, split)
        synthesizer = BlurSynthesizer(library, data.synthesis, config.seed, data.sample_size)
        self.pool = SamplePool(data.cache, synthesizer, data.samples)
        self.held_out = validation_samples(
            data.folder, split, data.validation_samples, data.validation_size
        )
        self.phase = config.phases[0]

    def train_dataloader(self) -> DataLoader[BlurTriple]:
        """Patches for one epoch; asked for anew before each."""
        module, epoch = self.trainer.lightning_module, self.trainer.current_epoch  # pyright: ignore
        phase: Phase = module.phase  # pyright: ignore[reportAssignmentType]
        self.phase = phase
        patches = PatchDataset(self.pool, phase.patch_size, self.config.seed, phase.aimed_share)
        patches.set_epoch(epoch)
        order = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        chosen = torch.randperm(len(patches), generator=order)[: self.config.data.epoch_size]
        ranks = self.trainer.world_size  # pyright: ignore[reportOptionalMemberAccess]
        own = chosen[self.trainer.global_rank :: ranks]  # pyright: ignore[reportOptionalMemberAccess]
        return DataLoader(
            patches,
            batch_size=max(1, phase.batch_size // ranks),
            sampler=own.tolist(),
            num_workers=self.config.data.workers,
            drop_last=True,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[BlurTriple]:
        """Held-out samples, one at a time and always the same."""
        return DataLoader(self.held_out, batch_size=1)  # pyright: ignore[reportArgumentType]

"""Datasets of patches that differ from epoch to epoch, and repeat from run to run."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch.utils.data import Dataset

from unsmear.data.crops import AIMED_PATCHES, crop_patch, turn_patch
from unsmear.data.pool import SamplePool, bytes_to_unit
from unsmear.data.triple import BlurTriple
from unsmear.errors import InputError


class EpochPatches(Dataset[BlurTriple], ABC):
    """Patches; patch i of an epoch depends on the seed, the epoch and i alone.

    Args:
        patch_size: side of the patches in pixels.
        seed: another seed, other patches.
        aimed_share: see `crop_patch`.

    Raises:
        InputError: if the patches have no pixels.
    """

    def __init__(self, patch_size: int, seed: int = 0, aimed_share: float = AIMED_PATCHES) -> None:
        if patch_size < 1:
            raise InputError(f"patch_size={patch_size}: ask for 1 px or more")
        self.patch_size = patch_size
        self.seed = seed
        self.aimed_share = aimed_share
        # In shared memory: loader processes that outlive an epoch must see the next one's number.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """Number of the present epoch."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; call it before the loader is iterated over."""
        self._epoch.fill_(epoch)

    @abstractmethod
    def __len__(self) -> int:
        """Give the number of patches per epoch."""

    @abstractmethod
    def sample_of(self, index: int, rng: np.random.Generator) -> BlurTriple:
        """Give the uint8 sample that a patch is cut from; `rng` decides where that is open."""

    def __getitem__(self, index: int) -> BlurTriple:
        """Give a patch: [3, P, P] blurred and sharp in [0, 1], [1, P, P] mask."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        sample = self.sample_of(index, rng)
        patch = crop_patch(sample, self.patch_size, rng, self.aimed_share)
        return bytes_to_unit(turn_patch(patch, rng))


class PatchDataset(EpochPatches):
    """One fresh patch of each pooled sample per epoch.

    Args:
        pool: the samples.
        patch_size: side of the patches in pixels.
        seed: another seed, other patches.
        aimed_share: see `crop_patch`.

    Raises:
        InputError: if the patches are larger than the pool's samples.
    """

    def __init__(
        self, pool: SamplePool, patch_size: int, seed: int = 0, aimed_share: float = AIMED_PATCHES
    ) -> None:
        most = pool.synthesizer.size
        if not 1 <= patch_size <= most:
            raise InputError(f"patch_size={patch_size}: samples are {most} px, ask for 1 to {most}")
        super().__init__(patch_size, seed, aimed_share)
        self.pool = pool

    def __len__(self) -> int:
        """Give the number of patches per epoch, one per sample."""
        return len(self.pool)

    def sample_of(self, index: int, rng: np.random.Generator) -> BlurTriple:
        """Give the pool's sample of the same number."""
        return self.pool.bytes_of(index)

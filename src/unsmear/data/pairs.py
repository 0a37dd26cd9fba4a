"""The dataset that training reads: one fresh patch of each pooled sample per epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from unsmear.data.crops import AIMED_PATCHES, crop_patch, turn_patch
from unsmear.data.pool import SamplePool, bytes_to_unit
from unsmear.data.triple import BlurTriple
from unsmear.errors import InputError


class PatchDataset(Dataset[BlurTriple]):
    """Patches of a pool; patch i of an epoch depends on the seed, the epoch and i alone.

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
        self.pool = pool
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

    def __len__(self) -> int:
        """Give the number of patches per epoch, one per sample."""
        return len(self.pool)

    def __getitem__(self, index: int) -> BlurTriple:
        """Give a patch: [3, P, P] blurred and sharp in [0, 1], [1, P, P] mask."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        patch = crop_patch(self.pool.bytes_of(index), self.patch_size, rng, self.aimed_share)
        return bytes_to_unit(turn_patch(patch, rng))

"""Several data sets and the synthesizer as one dataset to train on, mixed by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from unsmear.data.crops import AIMED_PATCHES, crop_patch, turn_patch
from unsmear.data.pool import SamplePool, bytes_to_unit
from unsmear.data.sources import LAYOUTS, FileSource, open_source
from unsmear.data.triple import BlurTriple
from unsmear.errors import InputError

SYNTHESIS = "synthesis"
MaskRule = Literal["computed", "all", "none"]
MASK_RULES = ("computed", "all", "none")


@dataclass(frozen=True)
class SourceConfig:
    """One part of a mixture.

    Attributes:
        layout: a layout of `open_source`, or "synthesis": the pool of synthesized samples.
        path: the data set; not used for "synthesis".
        split: "train" or "test"; None takes the whole data set.
        weight: the part's share of the patches, compared with the other parts' weights, however
            many pairs it has.
        masks: what a pair without a mask gets. "computed": one made from the pair, which costs
            time at every patch ('unsmear mask' writes them once and for all); "all": the whole
            picture is blurred, as in GoPro; "none": nothing is.
        options: of the layout, see `open_source`.

    Raises:
        InputError: a value is out of its range.
    """

    layout: str = "auto"
    path: str | None = None
    split: str | None = None
    weight: float = 1.0
    masks: MaskRule = "computed"
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value."""
        if self.layout not in (*LAYOUTS, SYNTHESIS):
            known = ", ".join((*LAYOUTS, SYNTHESIS))
            raise InputError(f"there is no layout {self.layout!r}: choose {known}")
        if self.path is None and self.layout != SYNTHESIS:
            raise InputError(f"a source of layout {self.layout} has no path: give its folder")
        if self.path is not None and self.layout == SYNTHESIS:
            raise InputError(f"path={self.path}: the synthesis has its own settings, leave it out")
        if not 0 < self.weight < math.inf:
            raise InputError(f"weight={self.weight}: give a weight above 0, or leave the part out")
        if self.masks not in MASK_RULES:
            raise InputError(f"masks={self.masks!r}: choose {', '.join(MASK_RULES)}")


class Samples(Protocol):
    """Numbered samples that patches are cut from; a `SamplePool` is one."""

    def __len__(self) -> int:
        """Give the number of samples."""
        ...

    def bytes_of(self, index: int) -> BlurTriple:
        """Give one sample: uint8 pictures from 0 to 255 and a mask of 0 and 1."""
        ...


class MaskedPairs:
    """The pairs of a source, all of them with a mask.

    Args:
        source: the pairs.
        masks: what a pair without a mask gets, see `SourceConfig`.
    """

    def __init__(self, source: FileSource, masks: MaskRule = "computed") -> None:
        self.source = source
        self.masks: MaskRule = masks

    def __len__(self) -> int:
        """Give the number of pairs."""
        return len(self.source)

    def bytes_of(self, index: int) -> BlurTriple:
        """Give one pair: uint8 pictures from 0 to 255 and a mask of 0 and 1.

        Raises:
            InputError: a file of it is missing or cannot be read, or sizes differ.
        """
        pair = self.source[index]
        mask = pair.blur_mask
        if mask is None and self.masks == "computed":
            from unsmear.data.pair_mask import pair_blur_mask

            mask = pair_blur_mask(pair.blurred, pair.sharp)
        elif mask is None:
            mask = torch.full_like(pair.sharp[:1], self.masks == "all")
        return BlurTriple(pair.blurred, pair.sharp, mask)


class Part(NamedTuple):
    """A part of a mixture, opened.

    Attributes:
        samples: what patches are cut from.
        weight: above 0, see `SourceConfig`.
    """

    samples: Samples
    weight: float


class PatchMixture(Dataset[BlurTriple]):
    """Patches of several parts; each draws its part by weight, and a sample of it evenly.

    They differ from epoch to epoch and repeat from run to run: patch i of an epoch depends on the
    seed, the epoch and i alone, whatever the number of workers.

    Args:
        parts: what is mixed.
        patch_size: side of the patches in pixels, at most that of the smallest picture.
        epoch_size: patches per epoch.
        seed: another seed, other patches.
        aimed_share: see `crop_patch`.

    Raises:
        InputError: if there are no parts, one is empty, or the epoch or a patch is.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        patch_size: int,
        epoch_size: int,
        seed: int = 0,
        aimed_share: float = AIMED_PATCHES,
    ) -> None:
        if patch_size < 1:
            raise InputError(f"patch_size={patch_size}: ask for 1 px or more")
        if not parts or not all(len(part.samples) for part in parts):
            raise InputError("a mixture needs parts that hold samples: name at least one")
        if epoch_size < 1:
            raise InputError(f"epoch_size={epoch_size}: ask for 1 patch or more")
        self.parts = tuple(parts)
        self.patch_size = patch_size
        self.epoch_size = epoch_size
        self.seed = seed
        self.aimed_share = aimed_share
        # In shared memory: loader processes that outlive an epoch must see the next one's number.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        weights = np.array([part.weight for part in parts], np.float64)
        self._shares = weights / weights.sum()

    def __len__(self) -> int:
        """Give the number of patches per epoch."""
        return self.epoch_size

    @property
    def epoch(self) -> int:
        """Number of the present epoch."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; call it before the loader is iterated over."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> BlurTriple:
        """Give a patch: [3, P, P] blurred and sharp in [0, 1], [1, P, P] mask."""
        if not 0 <= index < self.epoch_size:
            raise IndexError(f"patch {index} of an epoch of {self.epoch_size}")
        rng = np.random.default_rng((self.seed, self.epoch, index))
        samples = self.parts[rng.choice(len(self.parts), p=self._shares)].samples
        sample = samples.bytes_of(int(rng.integers(len(samples))))
        patch = crop_patch(sample, self.patch_size, rng, self.aimed_share)
        return bytes_to_unit(turn_patch(patch, rng))


def open_parts(configs: Sequence[SourceConfig], pool: SamplePool | None = None) -> tuple[Part, ...]:
    """Open the parts of a mixture; they serve mixtures of any patch size.

    Args:
        configs: the parts.
        pool: the synthesized samples, for the part whose layout is "synthesis".

    Raises:
        InputError: a data set is not there or not what it is said to be, or the pool is missing.
    """
    return tuple(Part(_open(config, pool), config.weight) for config in configs)


def build_mixture(
    configs: Sequence[SourceConfig],
    patch_size: int,
    epoch_size: int,
    seed: int = 0,
    aimed_share: float = AIMED_PATCHES,
    pool: SamplePool | None = None,
) -> PatchMixture:
    """Open the parts of a mixture and mix them, see `open_parts` and `PatchMixture`."""
    return PatchMixture(open_parts(configs, pool), patch_size, epoch_size, seed, aimed_share)


def _open(config: SourceConfig, pool: SamplePool | None) -> Samples:
    if config.path is None:
        if pool is None:
            raise InputError("a part is synthesized, but there is no pool: set up the synthesis")
        return pool
    source = open_source(config.path, config.layout, config.split, **config.options)
    return MaskedPairs(source, config.masks)

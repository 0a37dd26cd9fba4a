"""The fixed split between what is trained on and what is only ever measured on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from unsmear.data.config import SynthesisConfig
from unsmear.data.library import MediaLibrary
from unsmear.data.synthesis import BlurSynthesizer, fitted
from unsmear.data.triple import BlurTriple
from unsmear.errors import InputError

# Kinds of the held-out samples: fixed shares instead of draws, so that results compare.
VALIDATION_SHARES = {"cutout": 0.60, "segment": 0.15, "shake": 0.10, "sharp": 0.15}
TENTH = "tenth"  # in place of a split's file: hold out a tenth of whatever there is
# Another world of samples than any training seed in use; never change it.
VALIDATION_SEED = 20_260_101


@dataclass(frozen=True)
class ValidationSplit:
    """File names kept for validation.

    Attributes:
        stills: names of photos.
        objects: names of cut-outs.
        clips: names of videos.
    """

    stills: tuple[str, ...]
    objects: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()

    @classmethod
    def from_yaml(cls, path: str | Path) -> ValidationSplit:
        """Read a split, e.g. `configs/validation_split.yaml`.

        Args:
            path: YAML file with lists of file names under `stills`, `objects` and `clips`.

        Raises:
            InputError: if the file is missing or holds something else.
        """
        try:
            lists = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"cannot read the split {path} ({error.strerror}): name its file, or write "
                f"'{TENTH}' for the split to hold out a tenth of your own"
            ) from error
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path} is no YAML file: {error}") from error
        known = {each.name for each in fields(cls)}
        if not isinstance(lists, dict) or not {"stills"} <= set(lists) <= known:
            raise InputError(f"{path} is no split: give lists named {sorted(known)}")
        return cls(**{name: tuple(names or ()) for name, names in lists.items()})

    @classmethod
    def tenth_of(cls, folder: str | Path) -> ValidationSplit:
        """Hold out a tenth of one's own material; which, depends on the files' names alone.

        Args:
            folder: holds `stills/`, and perhaps `objects/` and `video/`.

        Returns:
            About a tenth of each part, of the photos at least one.

        Raises:
            InputError: if there are fewer than two photos.
        """
        library = training_library(folder, cls(stills=()))  # all there is
        if len(library.stills) < 2:
            raise InputError(f"{folder}/stills holds one photo: add one to measure with")
        stills = sorted((path.name for path in library.stills), key=_lot)
        return cls(
            stills=tuple(_tenth(stills)) or (stills[0],),
            objects=tuple(_tenth(each.path.name for each in library.objects)),
            clips=tuple(_tenth(path.name for path in library.clips)),
        )

    @classmethod
    def named(cls, split: str | Path, folder: str | Path) -> ValidationSplit:
        """The split of a YAML file, or with "tenth" a tenth of the folder.

        Raises:
            InputError: see `from_yaml` and `tenth_of`.
        """
        return cls.tenth_of(folder) if str(split) == TENTH else cls.from_yaml(split)

    @property
    def names(self) -> frozenset[str]:
        """All file names."""
        return frozenset(self.stills) | frozenset(self.objects) | frozenset(self.clips)


def training_library(folder: str | Path, split: ValidationSplit, **options: Any) -> MediaLibrary:
    """Open everything but the validation part of a folder.

    Args:
        folder: holds `stills/`, and perhaps `objects/` and `video/`.
        split: what to leave out.
        **options: see `MediaLibrary`.

    Raises:
        InputError: if the folder lacks material.
    """
    return MediaLibrary.from_folders(**_parts(Path(folder)), exclude=split.names, **options)


def validation_library(folder: str | Path, split: ValidationSplit, **options: Any) -> MediaLibrary:
    """Open nothing but the validation part of a folder.

    Args:
        folder: holds `stills/`, and perhaps `objects/` and `video/`.
        split: what to keep.
        **options: see `MediaLibrary`.

    Raises:
        InputError: if the folder lacks material, or a file of the split.
    """
    library = MediaLibrary.from_folders(**_parts(Path(folder)), only=split.names, **options)
    found = {name for name, _ in library.fingerprint}
    if missing := sorted(split.names - found):
        raise InputError(
            f"{folder} lacks {missing}: fetch the files that the split names, or write "
            f"'{TENTH}' for the split to hold out a tenth of your own"
        )
    return library


class ValidationSamples(Sequence[BlurTriple]):
    """Held-out samples, made on demand; the same on every machine of one software version.

    Args:
        library: the validation part.
        count: number of samples.
        size: side of the samples in pixels.
        config: what they look like; its weights of kinds are not used.
        seed: another one, other samples of the same material.

    Attributes:
        kinds: the kind of each sample.
    """

    def __init__(
        self,
        library: MediaLibrary,
        count: int = 60,
        size: int = 384,
        config: SynthesisConfig | None = None,
        seed: int = VALIDATION_SEED,
    ) -> None:
        kinds = _fixed_kinds(count)
        config = config or SynthesisConfig(clip=0.0)
        if not library.objects:  # somebody's own photos without cut-outs: pieces of photos move
            kinds = tuple("segment" if kind == "cutout" else kind for kind in kinds)
        self.synthesizer = BlurSynthesizer(library, fitted(config, library), seed, size)
        self.kinds = kinds

    def __len__(self) -> int:
        """Give the number of samples."""
        return len(self.kinds)

    def __getitem__(self, index: Any) -> Any:
        """Give one sample, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return self.synthesizer.sample(range(len(self))[index], self.kinds[index])


def validation_samples(
    folder: str | Path,
    split: ValidationSplit | str | Path,
    count: int = 60,
    size: int = 384,
    seed: int = VALIDATION_SEED,
) -> ValidationSamples:
    """Make the fixed set of held-out samples.

    Args:
        folder: holds `stills/`, and perhaps `objects/` and `video/`.
        split: the split, its YAML file, or "tenth".
        count: number of samples.
        size: side of the samples in pixels.
        seed: another one, other samples of the same material.

    Returns:
        A sequence of `BlurTriple`, 60 % cut-outs, 15 % segments, 10 % shakes, 15 % sharp. Without
        `objects/`, segments take the cut-outs' place.

    Raises:
        InputError: if material is missing.
    """
    if not isinstance(split, ValidationSplit):
        split = ValidationSplit.named(split, folder)
    return ValidationSamples(validation_library(folder, split), count, size, seed=seed)


def _parts(folder: Path) -> dict[str, list[Path]]:
    parts = {"stills": [folder / "stills"]}
    for name, part in (("objects", "objects"), ("clips", "video")):
        if (folder / part).is_dir():
            parts[name] = [folder / part]
    return parts


def _lot(name: str) -> float:
    """A number in [0, 1) that a name always draws."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _tenth(names: Iterable[str]) -> list[str]:
    return [name for name in names if _lot(name) < 0.1]


def _fixed_kinds(count: int) -> tuple[str, ...]:
    """Spread the kinds over `count` samples in their shares, evenly mixed."""
    if count < 1:
        raise InputError(f"count={count}: ask for 1 sample or more")
    ends = np.round(np.cumsum(list(VALIDATION_SHARES.values())) * count).astype(int)
    kinds = np.repeat(list(VALIDATION_SHARES), np.diff(ends, prepend=0))
    return tuple(str(kind) for kind in np.random.default_rng(0).permutation(kinds))

"""Any folder of blurred and sharp pictures, paired by their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from unsmear.data.sources.files import FileSource, PairFiles, pictures_below
from unsmear.data.sources.splits import split_folders
from unsmear.errors import InputError

PLACE = "{name}"


class Naming(NamedTuple):
    """How the files of a pair are called: paths from the folder, without a suffix.

    Attributes:
        blurred: "{name}_blur", "blur/{name}"; `{name}` stands for any text, slashes included.
        sharp: the same for the sharp picture.
        mask: the same for the mask.
    """

    blurred: str
    sharp: str
    mask: str


NAMINGS = (
    Naming("{name}_blur", "{name}_sharp", "{name}_mask"),
    Naming("blur/{name}", "sharp/{name}", "mask/{name}"),
    Naming("input/{name}", "target/{name}", "mask/{name}"),
)


def open_folder(
    root: Path,
    split: str | None = None,
    blurred: str | None = None,
    sharp: str | None = None,
    mask: str | None = None,
) -> FileSource:
    """Open a folder of pairs, with masks or without.

    Args:
        root: the folder; where it has ``train`` and ``test``, each of them is such a folder.
        split: "train" or "test"; None takes both.
        blurred: how blurred pictures are called, see `Naming`. Left out, NAME_blur with NAME_sharp
            and NAME_mask, the parallel folders blur, sharp and mask, and the parallel folders
            input, target and mask are tried in this order.
        sharp: how sharp pictures are called.
        mask: how masks are called.

    Raises:
        InputError: no pair is there, a pattern is wrong, or two files stand for the same.
    """
    given = (blurred, sharp, mask)
    usual = NAMINGS if given == (None, None, None) else NAMINGS[:1]
    namings = [
        Naming(*(own or default for own, default in zip(given, each, strict=True)))
        for each in usual
    ]
    for pattern in namings[0]:
        if pattern.count(PLACE) != 1:
            raise InputError(f"the pattern {pattern!r} must hold {PLACE} once, as in {{name}}_blur")
    folders = split_folders(root, split)
    for naming in namings:
        pairs = [pair for prefix, top in folders.items() for pair in _pairs(prefix, top, naming)]
        if any(not pair.missing for pair in pairs):
            return FileSource("folder", pairs)
    expected = " or ".join(f"{naming.blurred} with {naming.sharp}" for naming in namings)
    raise InputError(f"{root} holds no pair: expected {expected}")


def _pairs(prefix: str, folder: Path, naming: Naming) -> list[PairFiles]:
    """One pair for each blurred or sharp file, whether its twin is there or not."""
    found: list[dict[str, Path]] = [{}, {}, {}]
    expressions = [re.escape(each).replace(re.escape(PLACE), "(.+)") for each in naming]
    for path in pictures_below(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        for files, expression in zip(found, expressions, strict=True):
            if match := re.fullmatch(expression, stem):
                if other := files.get(match[1]):
                    raise InputError(f"{other} and {path} stand for the same: remove one of them")
                files[match[1]] = path
    blurred, sharp, masks = found

    def place(files: dict[str, Path], twins: dict[str, Path], pattern: str, name: str) -> Path:
        if name in files:
            return files[name]
        return folder / (pattern.replace(PLACE, name) + twins[name].suffix)

    return [
        PairFiles(
            prefix + name,
            place(blurred, sharp, naming.blurred, name),
            place(sharp, blurred, naming.sharp, name),
            masks.get(name),
        )
        for name in blurred.keys() | sharp.keys()
    ]

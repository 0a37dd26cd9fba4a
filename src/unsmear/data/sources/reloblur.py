"""ReLoBlur: scenes of real local motion blur, with masks in a tree of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from unsmear.data.sources.archive import load_archive
from unsmear.data.sources.files import (
    FileSource,
    PairFiles,
    by_name,
    is_picture,
    load_pictures,
    pictures_below,
)
from unsmear.data.sources.splits import SPLITS, split_folders
from unsmear.errors import InputError

NO_MASKS = "none"
# What an annotator's tool may put behind the name; the first is how both releases do it.
MASK_ENDINGS = ("", "_mask")
TWINS = ("_blur", "_sharp")


def is_reloblur(root: Path) -> bool:
    """Whether a folder looks like ReLoBlur, as pictures or as the authors' arrays."""
    archives = ("[!.]*.npy", *(f"{split}/[!.]*.npy" for split in SPLITS))
    found = any(next(root.glob(pattern), None) for pattern in archives)
    return found or _is_tree(root / "dataset") or _is_tree(root)


def open_reloblur(
    root: Path, split: str | None = None, masks: str | Path | None = None
) -> FileSource:
    """Open ``dataset/{train,test}/SCENE/NN/NN_sharp.png`` with ``_blur``, or a folder of ``.npy``.

    Args:
        root: the folder that holds ``dataset``, or ``dataset``, or a split of it.
        split: "train" or "test"; None takes both.
        masks: the tree of masks, ``{train,test}/SCENE/NN/NN.png`` or the same without the split.
            None takes ``masks`` beside or inside ``dataset`` where there is one, "none" takes no
            masks. The annotated masks that LMD-ViT trains on come as a tree of their own: name it
            here.

    Raises:
        InputError: nothing of the kind is there.
    """
    base = root / "dataset" if _is_tree(root / "dataset") else root
    folders = split_folders(base, split)
    pairs = [pair for prefix, folder in folders.items() for pair in _archives(prefix, folder)]
    if pairs:
        return FileSource("reloblur", pairs, load_archive)
    tree = _mask_tree(root, base, masks)
    drawn = {} if tree is None else by_name(filter(_is_png, pictures_below(tree)), tree)
    pairs = [
        pair for prefix, folder in folders.items() for pair in _pairs(prefix, folder, tree, drawn)
    ]
    if not pairs:
        raise InputError(
            f"{root} holds no ReLoBlur: expected dataset/train/SCENE/NN/NN_sharp.png and _blur.png"
        )
    # The authors count all that is not black, also in masks whose edges are grey.
    return FileSource("reloblur", pairs, partial(load_pictures, mask_above=0.0))


def _is_tree(base: Path) -> bool:
    """Whether a folder holds splits of scenes, or is a split itself."""
    tops = [base] if base.name in SPLITS else [base / split for split in SPLITS]
    return any(_is_twin(path) for top in tops for path in top.glob("*/*/*"))


def _is_twin(path: Path) -> bool:
    """Whether a file is called like a blurred or a sharp picture."""
    return is_picture(path) and path.stem.endswith(TWINS) and path.stem not in TWINS


def _is_png(path: Path) -> bool:
    """Whether a mask may be used: round the edges of a JPEG, little of what is black stays so."""
    return path.suffix.lower() == ".png"


def _archives(prefix: str, folder: Path) -> Iterator[PairFiles]:
    for path in folder.glob("[!.]*.npy"):
        yield PairFiles(prefix + path.stem, path, path)


def _pairs(
    prefix: str, folder: Path, masks: Path | None, drawn: Mapping[str, Path]
) -> Iterator[PairFiles]:
    """One pair for each file that ends in _sharp or _blur, whether its twin is there or not."""
    files = by_name(filter(_is_twin, pictures_below(folder)), folder)
    stems = {name.removesuffix(kind) for name in files for kind in TWINS if name.endswith(kind)}
    for stem in stems:
        blurred, sharp = (files.get(stem + kind, folder / f"{stem}{kind}.png") for kind in TWINS)
        mask = None if masks is None else _mask_of(masks, drawn, folder.name, stem)
        yield PairFiles(prefix + stem, blurred, sharp, mask)


def _mask_tree(root: Path, base: Path, masks: str | Path | None) -> Path | None:
    if masks == NO_MASKS:
        return None
    if masks is not None:
        if not Path(masks).is_dir():
            raise InputError(f"there is no folder of masks {masks}: name it, or say masks: none")
        return Path(masks)
    # `root` may be the folder above `dataset`, `dataset` itself or one of its splits.
    places = (root, base, base.parent, base.parent.parent)
    return next((place / "masks" for place in places if (place / "masks").is_dir()), None)


def _mask_of(masks: Path, drawn: Mapping[str, Path], split: str, stem: str) -> Path:
    """A pair's mask: the first of the usual places where it is, else where it should be."""
    names = [f"{top}{stem}{ending}" for top in (f"{split}/", "") for ending in MASK_ENDINGS]
    return next((drawn[name] for name in names if name in drawn), masks / f"{names[0]}.png")

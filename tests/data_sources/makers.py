"""Small data sets that the tests make themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 40)  # width, height


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """[H, W, 3] bytes with detail."""
    width, height = size
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, 256, (height, width, 3))
    coarse = np.kron(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))
    return ((fine + 2 * coarse[:height, :width]) / 3).astype(np.uint8)


def blur_part(sharp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average the left half over 9 columns: the blurred picture and its mask of 0 and 255."""
    width = sharp.shape[1]
    smeared = np.mean([np.roll(sharp, step, axis=1) for step in range(-4, 5)], axis=0)
    mask = np.zeros(sharp.shape[:2], np.uint8)
    mask[:, : width // 2] = 255
    return np.where(mask[..., None] > 0, smeared, sharp).astype(np.uint8), mask


def save(path: Path, pixels: np.ndarray) -> Path:
    """Write a picture, folders and all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def make_pair(blurred: Path, sharp: Path, mask: Path | None = None, seed: int = 0) -> None:
    """Write the files of a pair."""
    pixels = picture(seed)
    smeared, marked = blur_part(pixels)
    save(blurred, smeared)
    save(sharp, pixels)
    if mask is not None:
        save(mask, marked)


def make_reloblur(root: Path) -> Path:
    """One scene of two pairs to train on, one pair to test on."""
    pairs = (("train", "s01", "00"), ("train", "s01", "01"), ("test", "scene1", "00"))
    for seed, (split, scene, number) in enumerate(pairs):
        folder = root / "dataset" / split / scene / number
        mask = root / "masks" / split / scene / number / f"{number}.png"
        twins = (folder / f"{number}_{kind}.png" for kind in ("blur", "sharp"))
        make_pair(*twins, mask, seed)
    return root


def make_gopro(root: Path) -> Path:
    """A sequence of two frames to train on, one frame to test on."""
    places = (("train/GOPR1", "000001"), ("train/GOPR1", "000002"), ("test/GOPR2", "000001"))
    for seed, (sequence, frame) in enumerate(places):
        folder, file = root / sequence, f"{frame}.png"
        make_pair(folder / "blur" / file, folder / "sharp" / file, seed=seed)
        save(folder / "blur_gamma" / file, picture(100 + seed))
    return root


def make_folder(root: Path, count: int = 3) -> Path:
    """NAME_blur.png, NAME_sharp.png, NAME_mask.png."""
    for seed in range(count):
        make_pair(*(root / f"{seed}_{kind}.png" for kind in ("blur", "sharp", "mask")), seed)
    return root

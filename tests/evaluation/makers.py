"""Tiny pairs on disk, and what numpy and scikit-image say about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unsmear.evaluation import Samples, open_pairs

SIZE = (70, 60)  # width, height
BOX = (slice(16, 44), slice(20, 52))  # where it is blurred


def make_pairs(folder: Path, blurred: Sequence[bool] = (True, True, False)) -> Path:
    """Write NAME_blur, NAME_sharp and NAME_mask; a picture that is not blurred is only noisy."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, is_blurred in enumerate(blurred):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
        sharp = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC))
        noise = rng.integers(-3, 4, sharp.shape)
        given = np.clip(sharp.astype(int) + noise, 0, 255).astype(np.uint8)
        mask = np.zeros(sharp.shape[:2], np.uint8)
        if is_blurred:
            given[BOX] = (given[BOX] * (0.3 - 0.1 * number)).astype(np.uint8) + 80
            mask[BOX] = 255
        for part, pixels in (("blur", given), ("sharp", sharp), ("mask", mask)):
            Image.fromarray(pixels).save(folder / f"p{number}_{part}.png")
    return folder


def opened(folder: Path, limit: int | None = None) -> Samples:
    """The pairs of a folder."""
    return Samples(open_pairs(str(folder)), limit)


def stored(folder: Path, name: str) -> np.ndarray:
    """A picture of a pair: (H, W, 3) or (H, W), float64 in [0, 1]."""
    return np.asarray(Image.open(folder / f"{name}.png")) / 255.0


def arithmetic(picture: np.ndarray, sharp: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The four figures, for (H, W, 3) in [0, 1] and (H, W) of 0 and 1, by another way."""
    _, local = structural_similarity(
        picture,
        sharp,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    inner, inside = np.asarray(local)[5:-5, 5:-5], mask[5:-5, 5:-5] > 0
    squares = (picture - sharp)[mask > 0] ** 2
    figures = {
        "psnr": float(peak_signal_noise_ratio(sharp, picture, data_range=1.0)),
        "ssim": float(inner.mean()),
    }
    if not inside.any():
        return figures
    return figures | {
        "wpsnr": float(-10 * np.log10(squares.mean())),
        "wssim": float(inner[inside].mean()),
    }

"""Local motion blur for the demo: a part of a photo moves while the rest stands still.

Plain numpy, so that the demo needs nothing that only training needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

Pair = tuple[float, float]


@dataclass(frozen=True)
class Motion:
    """How a part of a photo moves during the exposure. Pixels; x first.

    Attributes:
        path: dx, dy of the way from the first to the last instant.
        bulge: how far the way's middle lies off the straight line.
        detail: x, y, width, height of what to show enlarged.
    """

    path: Pair
    bulge: float
    detail: tuple[int, int, int, int]


MOTORCYCLE = Motion(path=(11, -2), bulge=1.5, detail=(300, 90, 290, 210))
NEAREST_WALL = 42  # disparity of the things behind the motorcycle, at most
ABOVE_FLOOR = 4  # disparity by which it stands out from the floor of the same row


def motorcycle_cover(disparity: np.ndarray) -> np.ndarray:
    """Where the motorcycle is, from the stereo pair's disparity (H, W): share of each pixel."""
    disparity = np.where(np.isfinite(disparity), disparity, 0)
    floor = np.median(disparity[:, :60], axis=1, keepdims=True)  # none but floor and wall there
    near = disparity > np.maximum(NEAREST_WALL, floor + ABOVE_FLOOR)
    drawn = Image.fromarray((near * 255).astype(np.uint8))
    whole = drawn.filter(ImageFilter.MedianFilter(9)).filter(ImageFilter.GaussianBlur(1))
    return np.asarray(whole, dtype=np.float32) / 255


def move_a_part(
    sharp: np.ndarray, cover: np.ndarray, motion: Motion, instants: int = 33
) -> tuple[np.ndarray, np.ndarray]:
    """Average a photo over an exposure during which a part of it moves.

    Args:
        sharp: (H, W, 3) uint8, the middle instant.
        cover: (H, W) in [0, 1], what moves.
        motion: how it moves.
        instants: how many are averaged; odd.

    Returns:
        The blurred photo, and (H, W) bool where it visibly differs from the sharp one.
    """
    light, cover = to_light(sharp), cover[..., None].astype(np.float32)
    total = np.zeros_like(light)
    for dx, dy in _way(motion, instants):
        moved_cover = _shifted(cover, dx, dy)
        total += light + moved_cover * (_shifted(light, dx, dy) - light)
    blurred = from_light(total / instants)
    differs = np.abs(blurred.astype(int) - sharp).max(axis=2) > 3
    return blurred, differs


def to_light(picture: np.ndarray) -> np.ndarray:
    """Undo the sRGB curve: uint8 of any shape to linear light in [0, 1]."""
    encoded = picture.astype(np.float32) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def from_light(light: np.ndarray) -> np.ndarray:
    """Apply the sRGB curve: linear light of any shape to uint8."""
    light = light.clip(0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def _way(motion: Motion, instants: int) -> np.ndarray:
    """(n, 2) shifts along a bent way, the middle one zero."""
    times = np.linspace(-1, 1, instants)
    along = np.array(motion.path)
    across = np.array([-along[1], along[0]]) / max(np.hypot(*along), 1e-9)
    return times[:, None] * along / 2 - motion.bulge * times[:, None] ** 2 * across


def _shifted(values: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """(H, W, C) moved by a fraction of a pixel, edges repeated."""
    height, width = values.shape[:2]
    x = (np.arange(width) - dx).clip(0, width - 1)
    y = (np.arange(height) - dy).clip(0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across = (x - left).astype(np.float32)[None, :, None]
    down = (y - top).astype(np.float32)[:, None, None]
    rows = values[top] * (1 - down) + values[bottom] * down
    return rows[:, left] * (1 - across) + rows[:, right] * across

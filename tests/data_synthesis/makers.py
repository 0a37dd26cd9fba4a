"""Pictures that the tests make themselves."""

from __future__ import annotations

import numpy as np


def textured(height: int, width: int, seed: int) -> np.ndarray:
    """A photo-like texture with detail of every size: [height, width, 3] bytes."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cell in (2, 5, 16, 64):
        cells = rng.uniform(size=(height // cell + 1, width // cell + 1, 3))
        picture += np.kron(cells, np.ones((cell, cell, 1)))[:height, :width]
    return (picture / 4 * 255).astype(np.uint8)

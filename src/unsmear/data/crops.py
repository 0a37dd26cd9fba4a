"""Training patches that look at blur half of the time, as LMD-ViT cuts them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from unsmear.data.triple import BlurTriple
from unsmear.errors import InputError

# Below this share of blurred pixels a picture has too little blur to aim at.
AIM_SHARE = 0.05
# Share of the patches that aim at blur.
AIMED_PATCHES = 0.5


def crop_patch(
    triple: BlurTriple, size: int, rng: np.random.Generator, aimed_share: float = AIMED_PATCHES
) -> BlurTriple:
    """Cut a square patch: a share of them about a blurred pixel, the others anywhere.

    Args:
        triple: pictures [C, H, W] of any number type.
        size: side of the patch in pixels, at most H and W.
        rng: source of randomness.
        aimed_share: share of the patches that aim at blur; half in the paper.

    Returns:
        Views [C, size, size] of the three pictures. A patch aims at blur only where at least 5 %
        of the picture is blurred; near the edge it moves inwards, the blurred pixel stays in it.

    Raises:
        InputError: if the pictures are smaller than the patch.
    """
    height, width = triple.blur_mask.shape[-2:]
    if size > min(height, width):
        raise InputError(
            f"{size} px patch of a {width}x{height} px sample: ask for smaller patches"
        )
    # Drawn in any case, so that the anywhere-patch does not depend on the share of blur.
    aimed = rng.random() < aimed_share
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    if aimed:
        blurred = np.flatnonzero(triple.blur_mask.numpy() > 0.5)
        if len(blurred) >= AIM_SHARE * height * width:
            row, column = divmod(int(blurred[rng.integers(len(blurred))]), width)
            top = min(max(row - size // 2, 0), height - size)
            left = min(max(column - size // 2, 0), width - size)
    return BlurTriple(*(picture[..., top : top + size, left : left + size] for picture in triple))


def turn_patch(triple: BlurTriple, rng: np.random.Generator) -> BlurTriple:
    """Mirror and turn a patch by one of the eight symmetries of the square, evenly drawn.

    Args:
        triple: pictures [C, H, W]; where H and W differ, a quarter turn swaps them.
        rng: source of randomness.

    Returns:
        The three pictures, all turned the same way, in memory of their own.
    """
    mirror_rows, mirror_columns, transpose = (bool(flip) for flip in rng.integers(2, size=3))
    dims = [dim for dim, flip in ((-2, mirror_rows), (-1, mirror_columns)) if flip]

    def turn(picture: Tensor) -> Tensor:
        picture = picture.flip(dims) if dims else picture
        return (picture.transpose(-2, -1) if transpose else picture).contiguous()

    return BlurTriple(*(turn(picture) for picture in triple))

from __future__ import annotations

import numpy as np
import pytest
import torch

from unsmear.data import BlurTriple, crop_patch, turn_patch
from unsmear.errors import InputError


def corner_blur(share: float) -> BlurTriple:
    """A picture whose pixels hold their own number, blurred in its upper left corner."""
    numbers = torch.arange(100 * 120).reshape(1, 100, 120).float()
    mask = torch.zeros(1, 100, 120)
    side = round((share * 100 * 120) ** 0.5)
    mask[:, :side, :side] = 1
    return BlurTriple(numbers.expand(3, -1, -1), numbers.expand(3, -1, -1) + 1, mask)


def test_half_of_the_patches_look_at_blur() -> None:
    triple = corner_blur(0.06)
    rng = np.random.default_rng(0)
    seen = np.array([bool(crop_patch(triple, 16, rng).blur_mask.any()) for _ in range(600)])
    # Patches anywhere meet this corner at times as well: a share p of them.
    side, spots = round((0.06 * 12000) ** 0.5), 85 * 105
    p = side * side / spots
    assert seen.mean() == pytest.approx(0.5 + 0.5 * p, abs=0.06)


def test_too_little_blur_is_not_aimed_at() -> None:
    triple = corner_blur(0.03)
    rng = np.random.default_rng(0)
    seen = [bool(crop_patch(triple, 16, rng).blur_mask.any()) for _ in range(300)]
    assert np.mean(seen) < 0.12


def test_patches_of_the_three_pictures_belong_together() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        patch = crop_patch(corner_blur(0.2), 32, rng)
        assert all(picture.shape[-2:] == (32, 32) for picture in patch)
        assert torch.equal(patch.sharp, patch.blurred + 1)
        turned = turn_patch(patch, rng)
        assert torch.equal(turned.sharp, turned.blurred + 1)
        assert turned.blur_mask.sum() == patch.blur_mask.sum()


def test_turning_reaches_all_eight_symmetries() -> None:
    square = corner_blur(0.1)
    square = BlurTriple(*(picture[..., :50, :50] for picture in square))
    rng = np.random.default_rng(0)
    corners = {tuple(turn_patch(square, rng).blurred[0, 0, :2].tolist()) for _ in range(100)}
    assert len(corners) == 8


def test_patch_larger_than_the_picture_is_an_error() -> None:
    with pytest.raises(InputError, match="120x100"):
        crop_patch(corner_blur(0.1), 110, np.random.default_rng(0))


def test_whole_picture_is_a_patch() -> None:
    triple = BlurTriple(*(picture[..., :100] for picture in corner_blur(0.5)))
    assert torch.equal(crop_patch(triple, 100, np.random.default_rng(0)).blurred, triple.blurred)

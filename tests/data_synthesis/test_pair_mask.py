from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unsmear.data import (
    BlurSynthesizer,
    MediaLibrary,
    PairMaskConfig,
    SynthesisConfig,
    pair_blur_mask,
)
from unsmear.data.degrade import compress_jpeg
from unsmear.data.morphology import close_gaps, drop_specks, fill_holes, keep_sure
from unsmear.errors import InputError

from .makers import textured

MOVED = np.s_[:, 40:100, 60:140]


def pair(width: int = 200, height: int = 160) -> tuple[Tensor, Tensor]:
    """A textured picture, and the same with a rectangle smeared over 13 pixels."""
    sharp = torch.from_numpy(textured(height, width, seed=1)).permute(2, 0, 1)
    blurred = sharp.float()
    smeared = torch.stack([blurred.roll(shift, -1) for shift in range(-6, 7)]).mean(0)
    blurred[MOVED] = smeared[MOVED]
    return blurred.round().to(torch.uint8), sharp.contiguous()


def noisy(picture: Tensor, deviation: float) -> Tensor:
    noise = np.random.default_rng(0).normal(0, deviation, tuple(picture.shape))
    return (picture + torch.from_numpy(noise)).round().clamp(0, 255).to(torch.uint8)


def assert_found(mask: Tensor, least_precision: float = 0.8, least_recall: float = 0.9) -> None:
    moved = torch.zeros_like(mask, dtype=torch.bool)
    moved[MOVED] = True
    assert mask.dtype == torch.uint8
    assert set(mask.unique().tolist()) == {0, 1}
    hit = (mask.bool() & moved).sum()
    assert hit / moved.sum() > least_recall
    assert hit / mask.sum() > least_precision


def test_blur_is_found_without_holes() -> None:
    mask = pair_blur_mask(*pair())
    assert mask.shape == (1, 160, 200)
    assert_found(mask)
    assert mask[0, 48:92, 68:132].all()


def test_equal_pictures_have_no_mask() -> None:
    _, sharp = pair()
    assert not pair_blur_mask(sharp, sharp).any()


@pytest.mark.parametrize("deviation", [2, 6])
def test_noise_is_no_blur(deviation: float) -> None:
    blurred, sharp = pair()
    assert not pair_blur_mask(noisy(sharp, deviation), sharp).any()
    assert_found(pair_blur_mask(noisy(blurred, deviation), sharp))


def test_jpeg_is_no_blur() -> None:
    def jpeg(picture: Tensor) -> Tensor:
        return compress_jpeg(picture / 255, 85).mul(255).round().to(torch.uint8)

    blurred, sharp = pair()
    assert not pair_blur_mask(jpeg(sharp), sharp).any()
    assert_found(pair_blur_mask(jpeg(blurred), sharp))


def test_another_exposure_is_no_blur() -> None:
    blurred, sharp = pair()
    darker_aside = torch.linspace(1.0, 0.9, sharp.shape[-1])
    tint = torch.tensor([1.04, 0.97, 1.0])[:, None, None]
    other = (sharp * tint * darker_aside + 4).clamp(0, 255).round().to(torch.uint8)
    assert not pair_blur_mask(sharp, other).any()
    assert_found(pair_blur_mask(blurred, other))


def test_a_shift_by_a_pixel_is_no_blur_unless_none_is_allowed() -> None:
    larger, sharp = pair(202, 162)
    blurred, still, shifted = larger[:, :-2, :-2], sharp[:, :-2, :-2], sharp[:, 1:-1, 1:-1]
    assert not pair_blur_mask(still, shifted).any()
    assert_found(pair_blur_mask(blurred, shifted))
    assert pair_blur_mask(still, shifted, PairMaskConfig(misalignment=0)).float().mean() > 0.5


def test_a_picture_blurred_all_over_is_marked_all_over() -> None:
    _, sharp = pair()
    smeared = torch.stack([sharp.float().roll(shift, -1) for shift in range(-6, 7)]).mean(0)
    assert pair_blur_mask(smeared.round().to(torch.uint8), sharp).float().mean() > 0.9


def test_flat_and_clipped_pictures_have_no_mask() -> None:
    for level in (0, 128, 255):
        flat = torch.full((3, 40, 50), level, dtype=torch.uint8)
        assert not pair_blur_mask(flat, flat).any()


def test_agrees_with_the_synthesizer(library: MediaLibrary) -> None:
    clean = SynthesisConfig(clip=0, most_noise=0, jpeg_share=0)
    synthesizer = BlurSynthesizer(library, clean, seed=3, size=160)
    hit = marked = true = 0
    for index in range(6):
        sample = synthesizer.sample(index, "cutout")
        blurred, sharp = ((each * 255).round().to(torch.uint8) for each in sample[:2])
        mask, given = pair_blur_mask(blurred, sharp).bool(), sample.blur_mask.bool()
        hit += int((mask & given).sum())
        marked += int(mask.sum())
        true += int(given.sum())
    assert hit / marked > 0.8
    assert hit / true > 0.8


def test_bad_pairs_are_refused() -> None:
    blurred, sharp = pair()
    with pytest.raises(InputError, match="200x160 and 190x160"):
        pair_blur_mask(blurred, sharp[..., :190])
    with pytest.raises(InputError, match=r"sharp picture is torch\.float32"):
        pair_blur_mask(blurred, sharp.float())
    with pytest.raises(InputError, match="32 pixels"):
        pair_blur_mask(blurred[:, :8], sharp[:, :8])
    with pytest.raises(InputError, match="window=0"):
        PairMaskConfig(window=0)


def squares() -> np.ndarray:
    mask = np.zeros((20, 40), np.uint8)
    mask[5:11, 5:11] = 1
    mask[5:11, 14:20] = 1
    mask[15, 30] = 1
    return mask


def test_close_gaps_joins_neighbours() -> None:
    assert close_gaps(squares(), 2)[7:9, 5:20].all()
    assert np.array_equal(close_gaps(squares(), 0), squares())


def test_fill_holes_goes_by_size() -> None:
    mask = squares()
    mask[7:9, 7:9] = 0
    assert np.array_equal(fill_holes(mask, 4), squares())
    assert np.array_equal(fill_holes(mask, 3), mask)


def test_drop_specks_goes_by_size() -> None:
    assert drop_specks(squares(), 36).sum() == 72
    assert drop_specks(squares(), 1).sum() == 73
    assert drop_specks(squares(), 37).sum() == 0


def test_keep_sure_keeps_whole_regions() -> None:
    sure = np.zeros_like(squares())
    sure[6, 6] = sure[0, 0] = 1
    kept = keep_sure(squares(), sure)
    assert kept.sum() == 36
    assert kept[5:11, 5:11].all()

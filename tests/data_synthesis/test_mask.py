from __future__ import annotations

import torch

from unsmear.data.mask import visible_blur_mask


def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    sharp = torch.full((3, 60, 60), 0.5)
    swept = torch.zeros(60, 60, dtype=torch.bool)
    swept[20:40, 20:40] = True
    return sharp.clone(), sharp, swept


def test_equal_pictures_have_no_mask() -> None:
    blurred, sharp, swept = pictures()
    mask = visible_blur_mask(blurred, sharp, swept)
    assert mask.shape == (1, 60, 60)
    assert not mask.any()


def test_mask_covers_differences_in_any_channel_and_closes_their_gaps() -> None:
    blurred, sharp, swept = pictures()
    blurred[1, 20:40, 20:23] += 0.1  # two edges of a flat thing, its middle unchanged
    blurred[2, 20:40, 30:33] -= 0.1
    mask = visible_blur_mask(blurred, sharp, swept)[0]
    assert mask[23:37, 20:33].all()  # the disc rounds the corners of what it closes
    assert not mask[:, :18].any()
    assert not mask[:, 36:].any()
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_small_enclosed_holes_are_filled() -> None:
    blurred, sharp, swept = pictures()
    swept[:] = True
    blurred[0, 10:50, 10:50] += 0.1
    blurred[0, 20:40, 20:40] -= 0.1
    assert visible_blur_mask(blurred, sharp, swept, close_radius=1, largest_hole=0.2)[0, 30, 30]
    assert not visible_blur_mask(blurred, sharp, swept, close_radius=1, largest_hole=0.05)[
        0, 30, 30
    ]


def test_mask_stays_where_something_moved() -> None:
    blurred, sharp, swept = pictures()
    blurred[:] += 0.1
    mask = visible_blur_mask(blurred, sharp, swept)[0]
    assert mask[18:42, 18:42].all()
    assert mask.sum() == 24 * 24


def test_invisible_differences_are_no_blur() -> None:
    blurred, sharp, swept = pictures()
    blurred[:] += 2.5 / 255
    assert not visible_blur_mask(blurred, sharp, swept).any()

"""What moves is found, and parts hold it with what surrounds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unsmear.video.colours import Box
from unsmear.video.motion import CELL, GROW, cells_of, moving, parts, pixels_of, shrunk

from .makers import moving_square

STILL = np.full((64, 96), 100, np.uint8)


def with_square(left: int, top: int = 24, value: int = 200) -> np.ndarray:
    luma = STILL.copy()
    luma[top : top + 16, left : left + 16] = value
    return luma


def cells(*lumas: np.ndarray | None) -> torch.Tensor:
    return moving(*(None if luma is None else shrunk(luma, 8) for luma in lumas))


def test_a_still_picture_has_nothing_that_moves() -> None:
    assert not cells(STILL, STILL, STILL).any()


def test_what_moves_is_covered_and_the_rest_is_not() -> None:
    found = cells(with_square(16), with_square(24), with_square(32))
    assert found[6:10, 4:12].all()  # where it was, is and will be
    reach = GROW * CELL
    far = torch.ones(64, 96, dtype=torch.bool)
    far[24 - reach : 40 + reach, 16 - reach : 48 + reach] = False
    assert not (found & cells_of(far)).any()


def test_what_stops_moves_in_its_last_frame() -> None:
    found = cells(with_square(16), with_square(24), with_square(24))
    assert found[6:10, 4:10].all()


def test_noise_does_not_move() -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(STILL + rng.normal(0, 3, STILL.shape), 0, 255).astype(np.uint8) for _ in "abc"]
    assert not cells(*noisy).any()


def test_a_camera_that_moves_moves_everything() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (16, 40), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    assert cells(*(wide[:, shift : shift + 96] for shift in (0, 6, 12))).all()


def test_a_single_frame_moves_everywhere() -> None:
    assert cells(None, STILL, None).all()


def test_ten_bits_are_judged_like_eight() -> None:
    eight = [frame[..., 0] for frame in moving_square(3)]
    ten = [frame.astype(np.uint16) * 4 for frame in eight]
    assert torch.equal(
        moving(*(shrunk(each, 8) for each in eight)), moving(*(shrunk(each, 10) for each in ten))
    )


def test_cells_and_pixels_at_odd_sides() -> None:
    pixels = torch.zeros(13, 18, dtype=torch.bool)
    pixels[12, 17] = True
    found = cells_of(pixels)
    assert found.shape == (4, 5)
    assert found.sum() == 1
    back = pixels_of(found, Box(0, 0, 13, 18))
    assert back.shape == (13, 18)
    assert back[12, 16:].all()
    assert back.sum() == 2


def field(height: int, width: int, *boxes: Box) -> torch.Tensor:
    pixels = torch.zeros(height, width, dtype=torch.bool)
    for box in boxes:
        pixels[box.top : box.bottom, box.left : box.right] = True
    return cells_of(pixels)


def test_nothing_needs_no_part() -> None:
    assert parts(field(720, 1280), 720, 1280, 128, 32) == []


def test_most_of_a_frame_is_the_whole() -> None:
    everywhere = field(720, 1280, Box(0, 0, 720, 1100))
    assert parts(everywhere, 720, 1280, 128, 32) == [Box(0, 0, 720, 1280)]


@pytest.mark.parametrize("margin", [0, 32, 100])
def test_parts_hold_what_is_set_with_a_margin_and_begin_on_the_grid(margin: int) -> None:
    things = [Box(10, 700, 60, 800), Box(400, 100, 460, 130), Box(500, 1200, 719, 1279)]
    found = parts(field(720, 1280, *things), 720, 1280, 128, margin)
    for thing in things:
        near = [
            part
            for part in found
            if part.top <= max(0, thing.top - margin)
            and part.left <= max(0, thing.left - margin)
            and part.bottom >= min(720, thing.bottom + margin)
            and part.right >= min(1280, thing.right + margin)
        ]
        assert len(near) == 1
    assert all(part.top % 128 == part.left % 128 == 0 for part in found)
    seen = torch.zeros(720, 1280)
    for part in found:
        seen[part.top : part.bottom, part.left : part.right] += 1
    assert seen.max() == 1
    assert seen.mean() < 0.5


def test_small_things_cost_little() -> None:
    areas = [
        sum(
            part.area
            for part in parts(field(720, 1280, Box(300, 300, 300 + s, 300 + s)), 720, 1280, 128, 32)
        )
        for s in (20, 200, 400)
    ]
    assert areas == sorted(areas)
    assert areas[0] < 0.08 * 720 * 1280

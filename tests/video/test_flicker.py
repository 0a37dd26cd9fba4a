"""The flicker figure, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unsmear.video.flicker import Flicker

SHAPE = (4, 6)


def flat(value: float, unit: int = 1) -> np.ndarray:
    return np.full(SHAPE, value * unit, np.uint8 if unit == 1 else np.uint16)


def figure(before: list[np.ndarray], after: list[np.ndarray | None], bits: int = 8) -> float:
    meter = Flicker(bits)
    for pair in zip(before, after, strict=True):
        meter.put(*pair)
    return meter.total / max(1, meter.pixels)


def test_a_clip_that_is_left_alone_flickers_no_more() -> None:
    rng = np.random.default_rng(0)
    clip = [rng.integers(0, 255, SHAPE, dtype=np.uint8) for _ in range(5)]
    assert figure(clip, [None] * 5) == 0
    assert figure(clip, list(clip)) == 0


def test_blinking_counts() -> None:
    still = [flat(100)] * 5
    # |102 - 2 * 100 + 102| and the like: 4 levels in each of the three triples.
    assert figure(still, [flat(102), None, flat(102), None, flat(102)]) == 4


def test_a_steady_change_does_not_count() -> None:
    still = [flat(100)] * 4
    assert figure(still, [flat(110)] * 4) == 0
    assert figure(still, [flat(100 + step) for step in range(4)]) == 0


def test_a_part_counts_by_its_share() -> None:
    blinked = flat(100)
    blinked[:, :3] = 110
    assert figure([flat(100)] * 3, [None, blinked, None]) == pytest.approx(20 / 2)


def test_what_moves_does_not_count() -> None:
    assert figure([flat(100), flat(150), flat(100)], [flat(0), flat(255), flat(0)]) == 0


def test_calmer_is_below_nothing() -> None:
    assert figure([flat(100), flat(102), flat(100)], [flat(101)] * 3) == -4


def test_levels_are_those_of_eight_bits() -> None:
    still = [flat(100, 4)] * 3
    assert figure(still, [flat(102, 4), None, flat(102, 4)], bits=10) == 4

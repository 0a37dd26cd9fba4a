"""Times of decoding, and what containers take."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsmear.errors import InputError
from unsmear.video.joining import (
    SUFFIXES,
    coarsest_unit,
    container_format,
    decoding_times,
    wants_global_header,
)


@given(st.lists(st.integers(-1000, 10**9), min_size=1, max_size=40, unique=True), st.integers(0, 4))
def test_decoding_times_rise_and_precede_showing(shown: list[int], span: int) -> None:
    # Frames are decoded out of order by a few places, as B-frames are.
    order = sorted(sorted(shown), key=lambda time: sorted(shown).index(time) // (span + 1))
    times = np.array(
        [
            t
            for start in range(0, len(order), span + 1)
            for t in order[start : start + span + 1][::-1]
        ]
    )
    decoded = decoding_times(times)
    assert len(decoded) == len(times)
    assert (np.diff(decoded) > 0).all()
    assert (np.array(decoded) <= times).all()


def test_without_reordering_they_are_the_times_of_showing() -> None:
    assert decoding_times(np.array([7, 9, 40])) == [7, 9, 40]
    assert decoding_times(np.zeros(0, np.int64)) == []


def test_a_b_frame_delays_by_one() -> None:
    assert decoding_times(np.array([0, 20, 10, 40, 30])) == [-10, 0, 10, 20, 30]


@pytest.mark.parametrize(
    ("shown", "unit"),
    [
        ([0], Fraction(1, 30)),
        ([33, 0, 67, 100, 133], Fraction(1, 30)),  # rounded
        ([16, 49, 83, 116, 149], Fraction(1, 30)),  # and begun between two
        ([0, 40, 120, 160, 240], Fraction(40, 1000)),
        ([0, 33, 67, 100, 101], Fraction(1, 1000)),
    ],
)
def test_an_avi_counts_in_frames_where_it_can(shown: list[int], unit: Fraction) -> None:
    assert coarsest_unit(np.array(shown), Fraction(1, 1000), Fraction(30)) == unit


def test_every_ending_is_a_container_that_can_be_written() -> None:
    for suffix, name in SUFFIXES.items():
        assert container_format(Path(f"x{suffix.upper()}")) == name
        assert wants_global_header(name) in (True, False)
    assert wants_global_header("mp4")
    assert not wants_global_header("mpegts")


def test_another_ending_is_refused() -> None:
    with pytest.raises(InputError, match="no clip by its ending"):
        container_format(Path("x.jpg"))

from __future__ import annotations

import math

import pytest

from unsmear.study import Answer, preferences, wilson_interval


@pytest.mark.parametrize(
    ("chosen", "shown", "low", "high"),
    [
        # With z^2 = 3.8415: middle (0.8 + 0.19207) / 1.38415 = 0.71674, reach
        # 1.959964 * sqrt(0.016 + 0.0096036) / 1.38415 = 0.22657.
        (8, 10, 0.49016, 0.94331),
        # Half of them: middle 0.5, reach 1.959964 * sqrt(0.0025 + 0.000096036) / 1.038415.
        (50, 100, 0.40383, 0.59617),
        # None: from 0 to z^2 / (n + z^2) = 3.8415 / 13.8415.
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
    ],
)
def test_wilson_by_hand(chosen: int, shown: int, low: float, high: float) -> None:
    assert wilson_interval(chosen, shown) == pytest.approx((low, high), abs=1e-5)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson_interval(0, 0) == (0, 1)


def test_counts_by_hand() -> None:
    all_three = ("a", "b", "c")
    answers = [
        Answer("ann", "1", all_three, "a"),
        Answer("ann", "2", all_three, "a"),
        Answer("ann", "3", all_three, "b"),
        Answer("bob", "1", ("c", "a"), "c"),
        Answer("bob", "2", all_three, None),
    ]
    found = preferences(answers)
    assert [(row.model, row.chosen, row.shown) for row in found.models] == [
        ("a", 2, 4),
        ("b", 1, 3),
        ("c", 1, 4),
    ]
    assert found.models[0].share == 0.5
    assert (found.models[0].low, found.models[0].high) == wilson_interval(2, 4)
    assert found.wins == {"a": {"b": 2, "c": 2}, "b": {"a": 1, "c": 1}, "c": {"a": 1, "b": 0}}
    assert (found.decided, found.undecided, found.people, found.photos) == (4, 1, 2, 3)


def test_undecided_answers_alone_give_no_share() -> None:
    found = preferences([Answer("ann", "1", ("a", "b"), None)])
    assert all(math.isnan(row.share) for row in found.models)
    assert (found.models[0].low, found.models[0].high) == (0, 1)
    assert preferences([]).models == ()

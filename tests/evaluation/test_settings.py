"""Sweeps as words, and the settings they come to."""

from __future__ import annotations

import pytest

from unsmear.errors import InputError
from unsmear.evaluation import Setting, parse_sweep, stages_in_words, swept


def test_a_range_ends_where_it_says() -> None:
    assert parse_sweep("threshold=0.2:0.7:0.1").values == (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert parse_sweep("threshold=0.5,0.25").values == (0.5, 0.25)


def test_stages_are_ranges() -> None:
    sweep = parse_sweep("pruned-stages=1-9,4-6,5,none")
    assert sweep.field == "pruned_stages"
    assert sweep.values == (tuple(range(1, 10)), (4, 5, 6), (5,), ())
    assert [stages_in_words(stages) for stages in sweep.values] == ["1-9", "4-6", "5", "none"]
    assert stages_in_words((1, 3)) == "1,3"


@pytest.mark.parametrize(
    "text",
    [
        "threshold",
        "threshold=",
        "threshold=a",
        "threshold=0.2:0.7",
        "threshold=0.2:0.7:0",
        "threshold=0.7:0.2:0.1",
        "threshold=0:1:0.00001",
        "threshold=nan:1:0.1",
        "threshold=0:inf:0.1",
        "threshold=0.2:0.15:0.1",
        "pruned-stages=6-4",
        "pruned-stages=0-3",
        "pruned-stages=all",
        "size=3",
    ],
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--sweep"):
        parse_sweep(text)


def test_each_sweep_changes_one_thing() -> None:
    sweeps = [parse_sweep("threshold=0.4,0.5"), parse_sweep("pruned-stages=4-6,none")]
    assert swept(Setting(composite=True), sweeps) == [
        Setting(0.4, composite=True),
        Setting(0.5, composite=True),
        Setting(pruned_stages=(4, 5, 6), composite=True),
        Setting(pruned_stages=(), composite=True),
    ]
    assert swept(Setting(0.3), []) == [Setting(0.3)]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="threshold"):
        swept(Setting(), [parse_sweep("threshold=0.5,1.5")])
    with pytest.raises(InputError, match="--dense"):
        swept(Setting(dense=True), [parse_sweep("threshold=0.5")])

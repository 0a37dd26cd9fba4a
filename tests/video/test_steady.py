"""Masks keep what lasts and what moves on, and drop what is there for one frame."""

from __future__ import annotations

import torch

from unsmear.video.steady import REACH, Verdict, kept

SIDE = 40


def verdict(sure: set[int], likely: set[int] = frozenset(), moving: bool = True) -> Verdict:
    maps = torch.zeros(2, 1, SIDE, dtype=torch.bool)
    for own, columns in zip(maps, (sure, sure | likely), strict=True):
        own[0, list(columns)] = True
    return Verdict(maps[0], maps[1], torch.full((1, SIDE), moving))


def columns(mask: torch.Tensor) -> set[int]:
    return set(mask[0].nonzero().flatten().tolist())


def masks(verdicts: list[Verdict], reach: int = REACH) -> list[set[int]]:
    return [columns(kept(verdicts, index, reach)) for index in range(len(verdicts))]


def test_what_lasts_is_kept() -> None:
    assert masks([verdict({3})] * 6) == [{3}] * 6


def test_a_single_mistake_is_dropped() -> None:
    quiet = verdict(set(), {20})
    assert masks([quiet, quiet, verdict({20}), quiet, quiet]) == [set()] * 5


def test_a_gap_is_closed_where_it_is_likely() -> None:
    blinking = [verdict({5}) if n % 2 else verdict(set(), {5}) for n in range(9)]
    assert masks(blinking)[1:-1] == [{5}] * 7


def test_what_was_not_computed_is_not_kept() -> None:
    gap = [verdict({5}), verdict({5}), verdict(set()), verdict({5}), verdict({5})]
    assert masks(gap)[2] == set()


def test_what_is_fast_is_kept_where_it_is() -> None:
    fast = [verdict({2 + 6 * n}) for n in range(6)]
    assert masks(fast) == [{2 + 6 * n} for n in range(6)]


def test_what_does_not_move_is_never_kept() -> None:
    assert masks([verdict({3}, moving=False)] * 5) == [set()] * 5


def test_a_frame_alone_keeps_what_is_sure() -> None:
    assert masks([verdict({4}, {5})]) == [{4}]


def test_without_reach_nothing_is_steadied() -> None:
    blinking = [verdict({5}) if n % 2 else verdict(set(), {5}) for n in range(4)]
    assert masks(blinking, reach=0) == [set(), {5}, set(), {5}]


def test_frames_further_away_have_no_say() -> None:
    generator = torch.Generator().manual_seed(0)
    verdicts = []
    for _ in range(12):
        sure = torch.rand(1, SIDE, generator=generator) < 0.2
        likely = sure | (torch.rand(1, SIDE, generator=generator) < 0.3)
        verdicts.append(Verdict(sure, likely, torch.ones(1, SIDE, dtype=torch.bool)))
    window = verdicts[6 - REACH : 7 + REACH]
    assert torch.equal(kept(verdicts, 6), kept(window, REACH))

import pytest
import torch
import torch.nn.functional as F

from unsmear.inference.regions import SURE, number_regions, sure_regions


def windows(*rows):
    """Pixels of windows of 8 x 8, one character each: '.' pruned, 'o' doubtful, 'X' sure."""
    of = torch.tensor([[{".": 0.2, "o": 0.6, "X": 0.97}[c] for c in row] for row in rows])
    return of.repeat_interleave(8, 0).repeat_interleave(8, 1)


def dropped(*rows, threshold=0.5):
    confidence = windows(*rows)
    kept = confidence > threshold
    out = sure_regions(kept, confidence, threshold, 8)
    assert not (out & ~kept).any()
    return (kept & ~out)[::8, ::8].int().tolist()


def test_a_region_needs_one_sure_window():
    assert dropped("oo..", "oX..", "...o", "..o.") == [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 1, 0],
    ]


def test_corners_connect():
    assert not sum(map(sum, dropped("X...", ".o..", "..o.", "...o")))


def test_doubt_reaches_around_corners():
    snake = ("Xoooooo", "......o", "ooooooo", "o......", "ooooooo")
    assert not sum(map(sum, dropped(*snake)))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_sureness_follows_the_threshold(threshold):
    odds = SURE * threshold / (1 - threshold)
    certain = odds / (1 + odds)
    assert certain > threshold
    for step, stays in ((-1e-3, False), (1e-3, True)):
        confidence = torch.full((16, 24), certain + step)
        kept = torch.ones(16, 24, dtype=torch.bool)
        assert sure_regions(kept, confidence, threshold, 8).all() == stays


def test_sides_that_are_no_multiple_of_a_window():
    confidence = torch.full((13, 21), 0.6)
    confidence[8:, 16:] = 0.99
    kept = torch.ones(13, 21, dtype=torch.bool)
    assert sure_regions(kept, confidence, 0.5, 8).all()
    assert not sure_regions(kept, confidence.clamp(max=0.6), 0.5, 8).any()


def test_nothing_kept_stays_nothing():
    assert not sure_regions(torch.zeros(9, 9, dtype=torch.bool), torch.ones(9, 9), 0.5, 8).any()


def test_a_threshold_of_nothing_is_always_sure():
    kept = torch.ones(16, 16, dtype=torch.bool)
    assert sure_regions(kept, torch.full((16, 16), 1e-6), 0.0, 8).all()


def flooded(cells, start):
    """The cells that are connected with a first one, found step by step."""
    region = torch.zeros_like(cells)
    region[start] = True
    while True:
        grown = (F.max_pool2d(region.float()[None], 3, 1, 1)[0] > 0) & cells
        if torch.equal(grown, region):
            return region
        region = grown


@pytest.mark.parametrize("share", [0.0, 0.2, 0.35, 0.5, 1.0])
def test_regions_are_what_a_flood_reaches(share):
    cells = torch.rand(40, 31, generator=torch.Generator().manual_seed(0)) < share
    numbers = number_regions(cells)
    for start in map(tuple, cells.nonzero().tolist()):
        assert torch.equal(numbers == numbers[start], flooded(cells, start))


def test_a_long_winding_region_takes_few_rounds(monkeypatch):
    cells = torch.zeros(201, 300, dtype=torch.bool)
    cells[::2] = True
    cells[1::4, -1] = cells[3::4, 0] = True
    rounds = []
    pool = F.max_pool2d
    monkeypatch.setattr(F, "max_pool2d", lambda *a, **k: rounds.append(1) or pool(*a, **k))
    numbers = number_regions(cells)
    assert (numbers[cells] == 0).all()
    assert len(rounds) < 30

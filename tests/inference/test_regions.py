import pytest
import torch
import torch.nn.functional as F

from unsmear.inference.regions import (
    FAINT,
    SURE,
    number_regions,
    sure_regions,
    visible_change,
)


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


def seen(change, kept=None):
    """Where a change [H, W] of all colours of a grey picture stays."""
    image = torch.full((3, *change.shape), 0.5)
    kept = torch.ones(change.shape, dtype=torch.bool) if kept is None else kept
    out = visible_change(kept, image, image + change)
    assert not (out & ~kept).any()
    return out


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_change_that_shows_nowhere_is_not_made(sign):
    assert not seen(torch.full((40, 51), sign * FAINT * 0.99)).any()
    assert seen(torch.full((40, 51), sign * FAINT * 1.01)).all()


def test_what_shows_stays_with_its_surroundings():
    change = torch.zeros(96, 96)
    change[40:48, 40:48] = 30 / 255
    out = seen(change)
    assert out[24:64, 24:64].all()  # the cell and two to every side
    assert out.sum() == 40 * 40


def test_means_are_of_kept_pixels():
    kept = torch.zeros(40, 40, dtype=torch.bool)
    kept[:8, :3] = True
    change = torch.where(kept, 1.01 * FAINT, 0.0)
    assert torch.equal(seen(change, kept), kept)
    assert not seen(torch.where(kept, 0.0, 1.0), kept).any()


def test_colours_beyond_white_are_no_change():
    image = torch.ones(3, 16, 16)
    assert not visible_change(torch.ones(16, 16, dtype=torch.bool), image, image + 0.2).any()


def test_what_is_not_finite_is_left_to_be_refused():
    change = torch.zeros(40, 40)
    change[20, 20] = torch.nan
    assert seen(change)[20, 20]

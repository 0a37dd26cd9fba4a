import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from unsmear.explain.colours import (
    ANCHORS,
    DIMMED,
    MARK,
    OPACITY,
    dotted,
    heat,
    outlined,
    pixels,
    spread,
    stretched_heat,
)

BLACK = torch.zeros(1, 3, 1, 52)


def test_heat_grows_lighter_in_equal_steps():
    values = torch.linspace(0, 1, 52).reshape(1, 1, 1, 52)
    colours = heat(values, BLACK)[0] / 255 / OPACITY
    lightness = rgb2lab(colours[None])[0, :, 0]
    assert (np.diff(lightness) > 0).all()
    assert np.abs(lightness - np.linspace(8, 97, 52)).max() < 4


def test_heat_ends_at_its_anchors_and_lets_the_photo_through():
    values = torch.tensor([-1.0, 2.0, 3.0, 9.0]).reshape(1, 1, 1, 4)
    photo = torch.full((1, 3, 1, 4), 0.5)
    shown = heat(values, photo, low=2, high=3)[0]
    for place, anchor in enumerate((ANCHORS[0], ANCHORS[0], ANCHORS[-1], ANCHORS[-1])):
        wanted = OPACITY * np.array(anchor) + (1 - OPACITY) * 127.5
        assert np.abs(shown[place] - wanted).max() <= 1


def test_what_is_not_known_is_grey():
    values = torch.tensor([0.5, float("nan")]).reshape(1, 1, 1, 2)
    shown = heat(values, torch.rand(1, 3, 1, 2))[0]
    assert len(set(shown[1].tolist())) == 1
    assert len(set(shown[0].tolist())) == 3


def test_stretched_heat_names_its_ends():
    values = torch.linspace(3, 7, 52).reshape(1, 1, 1, 52)
    shown, words = stretched_heat(values, BLACK, " px")
    assert words == "Dark is 3.02 px, light 6.98 px."
    assert np.abs(shown[0, 0] - OPACITY * np.array(ANCHORS[0])).max() <= 1
    assert np.abs(shown[0, -1] - OPACITY * np.array(ANCHORS[-1])).max() <= 1
    flat, words = stretched_heat(torch.full_like(values, 0.25), BLACK)
    assert words == "0.25 everywhere."
    assert len(np.unique(flat[0], axis=0)) == 1


def test_stretched_heat_of_nothing_known_is_grey():
    shown, words = stretched_heat(torch.full((1, 1, 1, 52), float("nan")), torch.rand(1, 3, 1, 52))
    assert (np.ptp(shown, axis=-1) == 0).all()
    assert words == "Nothing is known."


def test_an_outline_is_inside_of_what_it_marks():
    photo, where = torch.full((1, 3, 9, 9), 0.8), torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    where[..., 2:7, 4:] = True
    shown, inside = outlined(where, photo), where[0, 0].numpy()
    edge = (shown == MARK).all(axis=-1)
    assert (shown[~inside] == round(0.8 * DIMMED * 255)).all()
    border = inside.copy()
    border[3:6, 5:] = False  # the photo's own edge, at the right, is none of the region's
    assert np.array_equal(edge, border)


def test_dots_are_where_they_belong():
    where = torch.rand(1, 1, 8, 8) > 0.7
    shown = dotted(where, torch.rand(1, 3, 8, 8))
    assert np.array_equal((shown == MARK).all(axis=-1), where[0, 0].numpy())


def test_pixels_are_rounded_and_cut():
    picture = torch.tensor([-0.2, 0.5, 1.7]).reshape(1, 3, 1, 1)
    assert pixels(picture).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("side", [1, 3])
def test_spread_cuts_padding_off(side):
    values = torch.arange(6.0).reshape(1, 1, 2, 3)
    large = spread(values, side, torch.zeros(1, 3, 2 * side - side // 2, 3 * side))
    assert large.shape[-2:] == (2 * side - side // 2, 3 * side)
    assert torch.equal(large[..., ::side, ::side], values)

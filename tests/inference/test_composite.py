import numpy as np
import pytest
import torch

from unsmear.inference.composite import (
    CELL,
    FEATHER,
    GROW,
    compose,
    kept_weight,
    region_weight,
)


def as_tensor(rgb):
    return torch.from_numpy(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max).permute(2, 0, 1)


def noise(*shape, dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(dtype).max, (*shape, 3), endpoint=True).astype(dtype)


def test_kept_windows_grow_and_fade():
    kept = torch.zeros(64, 64, dtype=torch.bool)
    kept[24:40, 24:40] = True
    weight = kept_weight(kept)
    assert (weight[24 - GROW : 40 + GROW, 24 - GROW : 40 + GROW] == 1).all()
    reach = GROW + FEATHER
    inside = torch.zeros_like(kept)
    inside[24 - reach : 40 + reach, 24 - reach : 40 + reach] = True
    assert (weight[~inside] == 0).all()
    assert ((weight > 0) & (weight < 1)).any()


def test_a_region_fades_towards_its_inside():
    region = torch.zeros(64, 64, dtype=torch.bool)
    region[10:50, 20:40] = True
    weight = region_weight(region)
    assert (weight[~region] == 0).all()
    assert (weight[14:46, 24:36] == 1).all()
    assert region_weight(torch.ones(20, 20, dtype=torch.bool)).min() == 1  # no fading at the frame


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_without_weight_stay_to_the_bit(dtype):
    rgb = noise(50, 70, dtype=dtype)
    weight = torch.zeros(50, 70)
    weight[10:20, 30:40] = 1
    made = compose(rgb, (as_tensor(rgb) + 0.01).clamp(0, 1), weight)
    assert made.rgb.dtype == dtype
    assert not made.touched[weight.numpy() == 0].any()
    assert (made.rgb[~made.touched] == rgb[~made.touched]).all()
    assert made.touched[10:20, 30:40].mean() > 0.9
    assert made.refused == 0


def test_an_unchanged_output_touches_nothing():
    rgb = noise(40, 40)
    made = compose(rgb, as_tensor(rgb), torch.ones(40, 40))
    assert not made.touched.any()
    assert (made.rgb == rgb).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_no_number_is_refused(value):
    rgb = noise(CELL, CELL + 50)
    restored = (as_tensor(rgb) + 0.01).clamp(0, 1)
    restored[1, 7, 9] = value
    made = compose(rgb, restored, torch.ones(CELL, CELL + 50))
    assert made.refused == 1
    assert not made.touched[:, :CELL].any()
    assert made.touched[:, CELL:].any()
    assert (made.rgb[:, :CELL] == rgb[:, :CELL]).all()


def test_a_drift_of_the_mean_colour_is_refused():
    rgb = noise(64, 64)
    weight = torch.ones(64, 64)
    for drift, refused in ((6, 0), (80, 1)):  # the cell's floor: an eighth of 512 x 512 pixels
        made = compose(rgb // 2, as_tensor(rgb // 2) + drift / 255, weight)
        assert made.refused == refused
    large = np.full((CELL, CELL, 3), 100, np.uint8)
    made = compose(large, as_tensor(large) + 9 / 255, torch.ones(CELL, CELL))
    assert made.refused == 1
    assert (made.rgb == 100).all()

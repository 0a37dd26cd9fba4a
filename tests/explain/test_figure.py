import numpy as np
import pytest
import torch

from unsmear.explain.figure import before_and_after, step_figure

from .makers import photo


@pytest.mark.parametrize(("step", "factor"), [(0.001, 50), (0.04, 10), (0.2, 2), (0.4, 1)])
def test_the_change_says_how_much_it_is_amplified(step, factor):
    grey = torch.full((1, 3, 20, 20), 0.5)
    restored = grey.clone()
    restored[..., :10] += step
    given, made, change = before_and_after(grey, restored)
    assert (f" {factor} times" in change.caption) == (factor > 1)
    assert f"{255 * step / 2:.2f} of 255" in change.caption
    assert (change.picture[:, 10:] == 128).all()
    assert np.abs(change.picture[:, :10] - 255 * (0.5 + factor * step)).max() <= 1
    assert (made.picture[:, :10] > given.picture[:, :10]).all() or step < 0.004


def test_a_step_of_smaller_size_is_brought_to_the_photos():
    small = torch.rand(1, 3, 10, 14)
    figure = step_figure("Scale 1", small, 4, photo())
    assert figure.picture.shape == (40, 56, 3)
    assert np.array_equal(figure.picture[::4, ::4], (small[0].permute(1, 2, 0) * 255).round())
    assert figure.name == "scale1"
    assert "1/4" in figure.caption

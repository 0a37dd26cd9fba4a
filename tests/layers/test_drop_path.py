import pytest
import torch

from unsmear.layers.drop_path import drop_path_factor


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_what_is_left_makes_up_for_what_is_left_out(rate):
    torch.manual_seed(0)
    factor = drop_path_factor(20_000, rate, torch.zeros((), dtype=torch.float64))
    assert factor.dtype == torch.float64
    assert (factor == 0).double().mean().item() == pytest.approx(rate, abs=0.02)
    assert factor.mean().item() == pytest.approx(1, abs=0.03)
    assert len(factor.unique()) == (2 if rate else 1)

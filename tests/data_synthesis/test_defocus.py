import numpy as np
import pytest
import torch

from unsmear.data.defocus import defocus, disc


@pytest.mark.parametrize("radius", [1.0, 2.5, 8.0])
def test_a_disc_is_round_and_keeps_the_light(radius):
    kernel = disc(radius)
    assert kernel.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(kernel, kernel.T)
    assert torch.equal(kernel, kernel.flip(0))
    area = (kernel / kernel.max()).sum().item()
    assert area == pytest.approx(np.pi * (radius + 0.1) ** 2, rel=0.15)


def test_something_gets_softer_and_nothing_brighter():
    scene = torch.rand(3, 80, 90, generator=torch.Generator().manual_seed(0))
    for seed in range(8):
        soft = defocus(scene, np.random.default_rng(seed))
        assert soft.shape == scene.shape
        assert soft.std() < 0.95 * scene.std()
        assert soft.mean().item() == pytest.approx(scene.mean().item(), abs=0.02)
        assert scene.min() <= soft.min() <= soft.max() <= scene.max()

import numpy as np
import pytest
import torch

from unsmear.data import BlurSynthesizer, SynthesisConfig
from unsmear.data.enlargement import enlarge, side_before
from unsmear.data.rendering import Exposure


def test_sides_before_lie_between_half_and_whole():
    rng = np.random.default_rng(0)
    sides = [side_before(320, rng) for _ in range(500)]
    assert 160 <= min(sides) < 170
    assert 310 < max(sides) <= 320


@pytest.mark.parametrize("seed", range(4))  # either way to interpolate
def test_all_of_an_exposure_is_enlarged_and_gets_softer(seed):
    blurred, sharp = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    swept = torch.zeros(40, 40, dtype=torch.bool)
    swept[10:20, 20:40] = True
    large = enlarge(Exposure(blurred, sharp, swept), 80, np.random.default_rng(seed))
    for one, other in zip(large[:2], (blurred, sharp), strict=True):
        assert one.shape == (3, 80, 80)
        assert one.min() >= 0
        assert one.mean().item() == pytest.approx(other.mean().item(), abs=0.01)
        assert one.diff().square().mean() < 0.5 * other.diff().square().mean()
    assert large.swept[20:40, 40:].all()
    assert large.swept.sum() == 20 * 40


def test_what_moved_stays_blurred(library):
    config = SynthesisConfig(clip=0, most_noise=0, jpeg_share=0, enlarged_share=1)
    sample = BlurSynthesizer(library, config, size=96).sample(0, "cutout")
    difference = (sample.blurred - sample.sharp).abs().mean(dim=0)
    assert sample.blur_mask.any()
    assert (
        difference[sample.blur_mask[0] > 0].mean()
        > 10 * difference[sample.blur_mask[0] == 0].mean()
    )

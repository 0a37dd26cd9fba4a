import numpy as np
import pytest
import torch

from unsmear.data import BlurSynthesizer, SynthesisConfig
from unsmear.data.enlargement import enlarge, side_before
from unsmear.data.rendering import Exposure

STILL = {"cutout": 0.0, "segment": 0.0, "shake": 0.0, "sharp": 1.0, "clip": 0.0}
QUIET = {"most_noise": 0.0, "jpeg_share": 0.0}


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


def test_what_was_enlarged_counts_as_still(library):
    plain, soft = (
        BlurSynthesizer(library, SynthesisConfig(**STILL, **QUIET, enlarged_share=share), size=64)
        for share in (0.0, 1.0)
    )
    for index in range(3):
        sample = soft.sample(index)
        assert torch.equal(sample.blurred, sample.sharp)
        assert not sample.blur_mask.any()
        assert sample.sharp.shape == (3, 64, 64)
        assert not torch.equal(sample.sharp, plain.sample(index).sharp)


def test_what_moved_stays_blurred(library):
    moving = STILL | {"cutout": 1.0, "sharp": 0.0}
    maker = BlurSynthesizer(library, SynthesisConfig(**moving, **QUIET, enlarged_share=1), size=96)
    sample = maker.sample(0)
    difference = (sample.blurred - sample.sharp).abs().mean(dim=0)
    assert sample.blur_mask.any()
    assert (
        difference[sample.blur_mask[0] > 0].mean()
        > 10 * difference[sample.blur_mask[0] == 0].mean()
    )

import pytest
import torch

from unsmear.data import BlurTriple
from unsmear.metrics import kept_pixels
from unsmear.training.calibration import calibrate, least_margin


def test_the_least_margin_holds_the_share():
    margins = torch.tensor([3.0, -1.0, 0.5, 2.0])
    weights = torch.tensor([4.0, 2.0, 3.0, 1.0])
    assert least_margin(margins, weights, 0.4) == pytest.approx(3.0, abs=1e-3)
    assert least_margin(margins, weights, 0.8) == pytest.approx(0.5, abs=1e-3)
    assert least_margin(margins, weights, 1.0) == pytest.approx(-1.0, abs=1e-3)
    assert least_margin(margins, torch.zeros(4), 0.9) == 0


def test_calibrated_predictors_keep_the_wanted_share_of_the_blur(small_network):
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(4):
        picture = torch.rand(3, 64, 64, generator=generator)
        mask = torch.zeros(1, 64, 64)
        mask[:, 16:48, 8:40] = 1
        picture[:, 16:48, 8:40] *= 0.2
        samples.append(BlurTriple(picture, picture, mask))
    calibrate(small_network, samples, 0.95)
    kept, blurred = torch.zeros(2, len(small_network.predictor_places))
    with torch.no_grad():
        for sample in samples:
            keep = small_network(sample.blurred[None]).keep
            for n, (stage, shift) in enumerate(small_network.predictor_places):
                scale = small_network.scale_of(stage)
                side = small_network.config.window_size * scale
                pixels = kept_pixels(keep[n], side, shift * scale, 64, 64)
                kept[n] += (pixels & (sample.blur_mask[None] > 0)).sum()
                blurred[n] += sample.blur_mask.sum()
    assert (kept / blurred).min() >= 0.95

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unsmear.errors import InputError
from unsmear.metrics import (
    kept_pixels,
    psnr,
    ssim,
    weighted_psnr,
    weighted_ssim,
    window_agreement,
)


def test_values_equal_the_authors(metric_inputs, expected_metrics):
    restored, sharp, mask = (metric_inputs[k] for k in ("restored", "sharp", "blur_mask"))
    found = {
        "psnr": psnr(restored, sharp),
        "weighted_psnr": weighted_psnr(restored, sharp, mask),
        "ssim": ssim(restored, sharp),
        "weighted_ssim": weighted_ssim(restored, sharp, mask),
    }
    for name, values in found.items():
        assert values.tolist() == pytest.approx(expected_metrics[name], rel=1e-5)


def test_values_equal_scikit_image():
    torch.manual_seed(0)
    sharp = torch.rand(1, 3, 40, 50)
    restored = (sharp + 0.1 * torch.randn_like(sharp)).clamp(0, 1)
    a, b = (x[0].permute(1, 2, 0).double().numpy() for x in (sharp, restored))
    assert psnr(restored, sharp).item() == pytest.approx(peak_signal_noise_ratio(a, b), rel=1e-5)
    _, local = structural_similarity(
        a,
        b,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    wanted = np.asarray(local)[5:-5, 5:-5].mean()
    assert ssim(restored, sharp).item() == pytest.approx(wanted, rel=1e-5)


def test_weighted_psnr_sees_only_the_mask():
    sharp = torch.full((1, 3, 16, 16), 0.4)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :4, :4] = 1
    restored = sharp + 0.1 * mask  # squared error 0.01 inside the mask, none outside
    assert weighted_psnr(restored, sharp, mask).item() == pytest.approx(20.0, abs=1e-3)
    assert psnr(sharp, sharp).item() == math.inf
    assert math.isnan(weighted_psnr(restored, sharp, torch.zeros_like(mask)).item())


def test_ssim_refuses_pictures_below_its_window():
    with pytest.raises(InputError, match="11"):
        ssim(torch.rand(1, 3, 8, 40), torch.rand(1, 3, 8, 40))


def test_kept_pixels_undo_the_shift():
    keep = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    pixels = kept_pixels(keep, 8, 4, 16, 15)
    assert pixels.shape == (1, 1, 16, 15)
    assert pixels[0, 0, 4:12, 4:12].all()
    assert pixels.sum() == 64


def test_agreement_by_hand():
    blurred = torch.zeros(1, 1, 16, 16)
    blurred[..., :8, :4] = 1
    kept = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    kept[..., :8, :] = True
    found = window_agreement(kept, blurred, 8)
    assert found.recall == 1.0
    assert found.precision == pytest.approx(0.25)
    assert found.accuracy == pytest.approx((32 + 128) / 256)
    assert found.sharp_kept == pytest.approx(64 / 192)

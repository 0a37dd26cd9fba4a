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


METRICS = {
    "psnr": lambda a, b, mask: psnr(a, b),
    "ssim": lambda a, b, mask: ssim(a, b),
    "weighted psnr": weighted_psnr,
    "weighted ssim": weighted_ssim,
}


def a_case(dtype=torch.float32):
    """Smooth pictures, whose variances are small beside their means, and a large mask."""
    torch.manual_seed(0)
    sharp = 0.8 + 0.05 * torch.rand(2, 3, 8, 10)
    sharp = torch.nn.functional.interpolate(sharp, size=(240, 300), mode="bilinear").to(dtype)
    restored = (sharp + 0.004 * torch.randn_like(sharp)).to(dtype)
    return restored, sharp, (torch.rand(2, 1, 240, 300) < 0.95).to(dtype)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_numbers_are_measured_in_float32(metric, dtype):
    case = a_case(dtype)
    wanted = metric(*(each.float() for each in case))
    assert wanted.isfinite().all()
    assert torch.equal(metric(*case), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(metric(*(each.float() for each in case)), wanted)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b, mask: (a[:1], b, mask),
        lambda a, b, mask: (a, b[:, :1], mask),
        lambda a, b, mask: (a[0], b[0], mask[0]),
        lambda a, b, mask: ((a * 255).byte(), (b * 255).byte(), mask),
    ],
    ids=["other batches", "grey beside colour", "no batch", "integers"],
)
def test_pictures_that_cannot_be_compared_are_refused(metric, wrong):
    with pytest.raises(InputError, match="Metrics compare"):
        metric(*wrong(*a_case()))


@pytest.mark.parametrize("metric", [weighted_psnr, weighted_ssim])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda mask: mask.expand(-1, 3, -1, -1),
        lambda mask: mask[..., :1],
        lambda mask: mask[0, 0],
        lambda mask: mask[:1],
    ],
    ids=["three channels", "narrow", "no batch", "one of two"],
)
def test_masks_of_another_shape_are_refused(metric, wrong):
    restored, sharp, mask = a_case()
    with pytest.raises(InputError, match="blur mask"):
        metric(restored, sharp, wrong(mask))


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

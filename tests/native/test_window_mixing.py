import pytest
import torch
import torch.nn.functional as F

from unsmear import native

from .agreement import (
    assert_equal_to,
    assert_more_exact,
    assert_near,
    assert_threads_change_nothing,
    other_defaults,
)

pytestmark = pytest.mark.skipif(
    not native.usable_levels(), reason="the native kernels are not built, or not for this machine"
)

LEVELS = native.usable_levels()


def make_windows(dtype, count=19, channels=48):
    """Hidden features, a filter, and the gradient of what comes out."""
    torch.manual_seed(0)
    hidden, slope = (torch.randn(2, count, 64, channels) * 1.5).to(dtype)
    return hidden, torch.randn(channels, 1, 3, 3) / 2, torch.randn(channels) / 2, slope


def plain(hidden, weight, bias):
    x = F.gelu(hidden).unflatten(1, (8, 8)).permute(0, 3, 1, 2)
    x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias, groups=len(weight))
    return F.gelu(x).flatten(2).transpose(1, 2)


def run_plain(hidden, weight, bias, slope, dtype):
    """Output and gradients of torch's own operations in ``dtype``."""
    own = [one.to(dtype).requires_grad_() for one in (hidden, weight, bias)]
    out = plain(*own)
    return out.detach(), *torch.autograd.grad(out, own, slope.to(dtype))


def run_native(hidden, weight, bias, slope, level=None):
    mixing = native.WindowMixing(hidden, weight.flatten(1).T, bias, level)
    hidden_slope, tap_slopes, bias_slope = mixing.gradients(slope)
    return mixing.run(), hidden_slope, tap_slopes.T.reshape(weight.shape), bias_slope


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("channels", [16, 48, 256])
def test_float32_is_the_plain_form(channels, level):
    given = make_windows(torch.float32, channels=channels)
    wanted = run_plain(*given, torch.float64)
    assert_equal_to(run_native(*given, level), wanted)


@pytest.mark.parametrize("level", LEVELS)
def test_bfloat16_is_at_least_as_exact_as_torch(level):
    given = make_windows(torch.bfloat16)
    wanted = run_plain(*given, torch.float64)
    ours, theirs = run_native(*given, level), run_plain(*given, torch.bfloat16)
    assert_more_exact(ours, theirs, wanted)
    assert_near(ours, wanted, 3e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_nothing(dtype, monkeypatch):
    given = make_windows(dtype, count=70)
    assert_threads_change_nothing(lambda: run_native(*given), monkeypatch)


def test_a_programs_defaults_do_not_matter():
    given = make_windows(torch.float32)
    expected = run_native(*given)
    with other_defaults():
        results = run_native(*given)
    assert all(map(torch.equal, results, expected))


@pytest.mark.parametrize("level", LEVELS)
def test_far_from_zero(level):
    hidden, weight, bias, slope = make_windows(torch.float32)
    given = (hidden * 50, weight, bias, slope)
    assert_near(run_native(*given, level), run_plain(*given, torch.float64), 1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_a_number_stays_in_its_window(level):
    hidden, *others = make_windows(torch.float32)
    hidden[3, 20, 5] = torch.nan
    out, hidden_slope, *_ = run_native(hidden, *others, level)
    for spoilt in (out.isnan(), hidden_slope.isnan()):
        assert spoilt[3, :, 5].any()
        assert spoilt.sum() == spoilt[3, :, 5].sum()


def test_windows_it_cannot_compute_are_told_apart():
    fits = native.WindowMixing.fits
    assert fits(torch.empty(1, 64, 16))
    assert not fits(torch.empty(1, 64, 24))
    assert not fits(torch.empty(1, 16, 16))
    assert not fits(torch.empty(1, 64, 16, dtype=torch.float64))

import pytest
import torch

from unsmear import native
from unsmear.layers.attention import attend

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
SCALE = 0.2


def make_windows(dtype, count=19, heads=2, size=16, seams=True):
    """Queries, keys and values, what is added to the logits, and the gradient of the output."""
    torch.manual_seed(0)
    channels = heads * size
    q, slope = (torch.randn(2, count, 64, channels) * 2).to(dtype)
    kv = (torch.randn(count, 64, 2 * channels) * 2).to(dtype)
    walls = (torch.rand(4, 64, 64) < 0.3) * -100.0 if seams else None
    kinds = torch.randint(0, 4, (count,)) if seams else None
    return q, kv, torch.randn(heads, 64, 64), walls, kinds, slope


def run_plain(q, kv, bias, seams, kinds, slope, dtype):
    """Output and gradients of torch's own operations in ``dtype``."""
    own = [one.to(dtype).requires_grad_() for one in (q, kv, bias)]
    out = attend(*own, SCALE, seams, kinds)
    return out.detach(), *torch.autograd.grad(out, own, slope.to(dtype))


def run_native(q, kv, bias, seams, kinds, slope, level=None):
    core = native.AttentionCore(q, kv, SCALE, bias, seams, kinds, level)
    return core.run(), *core.gradients(slope)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seams", [False, True], ids=["whole", "seams"])
@pytest.mark.parametrize(("heads", "size"), [(1, 16), (2, 16), (3, 32), (1, 48)])
def test_float32_is_the_plain_form(heads, size, seams, level):
    given = make_windows(torch.float32, heads=heads, size=size, seams=seams)
    wanted = run_plain(*given, torch.float64)
    assert_equal_to(run_native(*given, level), wanted)


@pytest.mark.parametrize("level", LEVELS)
def test_bfloat16_is_at_least_as_exact_as_torch(level):
    given = make_windows(torch.bfloat16)
    wanted = run_plain(*given, torch.float64)
    ours, theirs = run_native(*given, level), run_plain(*given, torch.bfloat16)
    assert_more_exact(ours, theirs, wanted)
    assert_near(ours, wanted, 4e-3)


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
def test_logits_may_be_large(level):
    q, *others = make_windows(torch.float32)
    given = (q * 300, *others)
    assert_near(run_native(*given, level), run_plain(*given, torch.float64), 1e-3)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_a_number_stays_in_its_head_of_its_window(level):
    q, *others = make_windows(torch.float32)
    q[3, 20, 5] = torch.nan
    out, q_slope, kv_slope, _ = run_native(q, *others, level)
    for spoilt in (out[..., :16], q_slope[..., :16], kv_slope[..., :16]):
        assert spoilt[3].isnan().any()
    for spoilt in (out[..., 16:], q_slope[..., 16:], kv_slope[..., 16:32], kv_slope[..., 48:]):
        assert spoilt.isfinite().all()
    rest = [n for n in range(len(q)) if n != 3]
    assert all(one[rest].isfinite().all() for one in (out, q_slope, kv_slope))


def test_windows_it_cannot_compute_are_told_apart():
    fits = native.AttentionCore.fits
    assert fits(torch.empty(1, 64, 32), 2)
    assert not fits(torch.empty(1, 64, 32), 4)
    assert not fits(torch.empty(1, 16, 32), 2)
    assert not fits(torch.empty(1, 64, 32, dtype=torch.float64), 2)

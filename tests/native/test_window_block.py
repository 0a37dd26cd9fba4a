import pytest
import torch

from unsmear import native
from unsmear.layers import WindowBlock
from unsmear.layers.folded import fold_block

pytestmark = pytest.mark.skipif(
    not native.usable_levels(), reason="the native kernel is not built, or not for this machine"
)

LEVELS = native.usable_levels()
SIZES = [(16, 1), (32, 2), (32, 1), (48, 1), (64, 2), (128, 4), (512, 16)]  # channels, heads
KEEP = torch.tensor([1.0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0, 1]).reshape(2, 3, 2)


def make_block(dim=32, heads=1, *, shift=0, modulator=False, feed_forward="wleff"):
    """A block with weights of every size, whose residuals are as large as what they are added to"""
    torch.manual_seed(0)
    block = WindowBlock(
        dim, heads, 8, shift=shift, modulator=modulator, feed_forward=feed_forward
    ).eval()
    for name, parameter in block.named_parameters():
        matrix = name.endswith("weight") and parameter.ndim > 1
        torch.nn.init.normal_(parameter, std=1.5 / parameter[0].numel() ** 0.5 if matrix else 0.3)
    return block


@torch.no_grad()
def run_native(block, x, keep=KEEP, *, level=None, feed=True):
    """The kernel's result for a map [B, H, W, C] in its number type."""
    x = x.clone()
    packed = native.PackedBlock(fold_block(block, x.dtype), level)
    numbers = keep.flatten().nonzero().squeeze(1)
    packed.run(x.reshape(-1, x.shape[-1]), block.grid(x), numbers, feed=feed)
    return x


def decibels(got, expected):
    return 10 * torch.log10(expected.square().mean() / (got.float() - expected).square().mean())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("modulator", [False, True], ids=["bare", "modulator"])
@pytest.mark.parametrize(("dim", "heads"), SIZES)
@torch.no_grad()
def test_float32_is_the_plain_block(dim, heads, modulator, shift, level):
    block = make_block(dim, heads, shift=shift, modulator=modulator)
    x = torch.randn(2, 24, 16, dim)
    expected = block.run_masked(x, KEEP)
    got = run_native(block, x, level=level)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    changed = (got != x).any(dim=-1)
    assert torch.equal(changed, (expected != x).any(dim=-1))  # the others are equal to the bit


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize(("dim", "heads"), SIZES)
@torch.no_grad()
def test_bfloat16_is_as_exact_as_its_number_type(dim, heads, shift, level):
    block = make_block(dim, heads, shift=shift, modulator=True)
    # What is stored is what both start from: weights and features that bfloat16 holds.
    for parameter in block.parameters():
        parameter.copy_(parameter.bfloat16())
    x = torch.randn(2, 24, 16, dim).bfloat16()
    expected = block.run_masked(x.float(), KEEP)
    got = run_native(block, x, level=level)
    assert decibels(got, expected) > 49
    plain = block.bfloat16().run_masked(x, KEEP.bfloat16())
    assert decibels(got, expected) > decibels(plain, expected)
    still = ~(expected != x).any(dim=-1)
    assert still.any()
    assert torch.equal(got[still], x[still])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_and_company_change_nothing(dtype, monkeypatch):
    block = make_block(shift=4)
    x = torch.randn(2, 24, 16, 32).to(dtype)
    results = []
    for threads in (1, 2, 5, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(run_native(block, x))
    alone = torch.zeros_like(KEEP)
    alone[1, 0, 1] = 1
    by_itself = run_native(block, x, alone)
    here = (by_itself != x).any(dim=-1)
    assert int(here.sum()) == 64
    assert torch.equal(by_itself[here], results[0][here])
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("level", LEVELS)
@torch.no_grad()
def test_attention_alone_for_blocks_with_a_global_feed_forward(level):
    block = make_block(shift=4, feed_forward="leff")
    x = torch.randn(2, 24, 16, 32)
    got = run_native(block, x, level=level, feed=False)
    torch.testing.assert_close(block._feed_whole(got, KEEP), block.run_masked(x, KEEP))


@pytest.mark.parametrize("level", LEVELS)
def test_no_window_at_all(level):
    x = torch.randn(2, 24, 16, 32)
    assert torch.equal(run_native(make_block(), x, torch.zeros_like(KEEP), level=level), x)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_logits_and_features_stay_finite_and_nan_stays_nan(dtype, level):
    block = make_block()
    with torch.no_grad():
        block.attention.to_q.weight.mul_(300)
    x = torch.randn(1, 8, 16, 32).mul(1000).to(dtype)
    x[0, 3, 3, 3] = torch.nan
    got = run_native(block, x, torch.ones(1, 1, 2), level=level)
    assert got[:, :, :8].isnan().all()
    assert got[:, :, 8:].isfinite().all()


def test_blocks_it_cannot_compute_are_told_apart():
    assert native.PackedBlock.fits(fold_block(make_block(32, 2)))
    assert not native.PackedBlock.fits(fold_block(make_block(32, 4)))  # heads of 8 channels
    assert not native.PackedBlock.fits(fold_block(make_block().double()))
    assert not native.PackedBlock.fits(fold_block(WindowBlock(32, 1, 4)))  # 4 x 4 windows

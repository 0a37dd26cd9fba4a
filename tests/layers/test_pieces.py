import pytest
import torch
import torch.nn.functional as F

from unsmear.layers import WindowBlock
from unsmear.layers.folded import fold_block
from unsmear.layers.pieces import BlockInPieces


def make_block(shift=0, *, modulator=False, window_size=8, dim=16):
    """A block none of whose weights is 0 or 1, as norms' and biases are at first."""
    torch.manual_seed(0)
    block = WindowBlock(dim, 2, window_size, shift=shift, modulator=modulator).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block


@pytest.mark.parametrize("modulator", [False, True])
def test_folded_weights_compute_the_block_by_their_formula(modulator):
    block = make_block(4, modulator=modulator).double()
    folded = fold_block(block)
    grid = block.grid(torch.empty(1, 16, 16, 16))
    numbers = torch.arange(4)
    x = torch.randn(4, 64, 16, dtype=torch.float64)

    def n(x):
        return F.layer_norm(x, (16,), eps=folded.eps)

    qkv = n(x) @ folded.qkv_weight.T + folded.qkv_bias
    mixed = torch.empty_like(x)
    for window, kind in enumerate(grid.seam_kind(numbers)):
        for head in range(2):
            q, k, v = (part[window, :, 8 * head : 8 * head + 8] for part in qkv.split(16, dim=-1))
            weights = (q @ k.T + folded.logit_bias[kind, head]).softmax(dim=-1)
            mixed[window, :, 8 * head : 8 * head + 8] = weights @ v
    y = x + mixed @ folded.proj_weight.T + folded.proj_bias
    hidden = F.gelu(n(y) @ folded.expand_weight.T + folded.expand_bias)
    padded = F.pad(hidden.reshape(4, 8, 8, 64).permute(0, 3, 1, 2), (1, 1, 1, 1), mode="reflect")
    taps = folded.taps.permute(2, 0, 1)[:, None]
    filtered = F.gelu(F.conv2d(padded, taps, folded.taps_bias, groups=64))
    filtered = filtered.permute(0, 2, 3, 1).reshape(4, 64, 64)
    y = y + filtered @ folded.reduce_weight.T + folded.reduce_bias
    torch.testing.assert_close(y, block._transform(x, grid, numbers))


@pytest.mark.parametrize("window_size", [4, 8])
@pytest.mark.parametrize("modulator", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("elements", [1, 10**6], ids=["window by window", "at once"])
def test_pieces_equal_the_plain_form(monkeypatch, window_size, modulator, shifted, elements):
    monkeypatch.setattr("unsmear.layers.chunks.CPU_ELEMENTS", elements)
    block = make_block(window_size // 2 * shifted, modulator=modulator, window_size=window_size)
    x = torch.randn(2, 3 * window_size, 2 * window_size, 16)
    keep = torch.tensor([1.0, 0, 1, 1, 0, 1] * 2).reshape(2, 3, 2)
    expected = block.run_masked(x, keep)
    with torch.no_grad():
        out = block.run_kept(x.clone(), keep)
    torch.testing.assert_close(out, expected, atol=2e-5, rtol=1e-5)


def test_narrow_numbers_stay_near_wide_ones():
    block = make_block(4, modulator=True)
    grid = block.grid(torch.empty(1, 16, 16, 16))
    wide = torch.randn(256, 16)
    narrow = wide.bfloat16()
    before = wide.clone()
    BlockInPieces(fold_block(block)).run(wide, grid, torch.arange(4))
    BlockInPieces(fold_block(block, torch.bfloat16)).run(narrow, grid, torch.arange(4))
    signal = (wide - before).square().mean()
    assert (narrow.float() - wide).square().mean() < 1e-3 * signal


def test_weights_that_changed_are_folded_anew():
    block = make_block()
    x, keep = torch.randn(1, 8, 8, 16), torch.ones(1, 1, 1)
    with torch.no_grad():
        block.run_kept(x.clone(), keep)
        block.norm1.weight.mul_(2)
        out = block.run_kept(x.clone(), keep)
    torch.testing.assert_close(out, block.run_masked(x, keep), atol=2e-5, rtol=1e-5)


def test_weights_swapped_for_validation_are_folded_anew():
    block = make_block().train()
    x, keep = torch.randn(1, 8, 8, 16), torch.ones(1, 1, 1)
    with torch.no_grad():
        for factor in (1.0, 2.0):
            block.norm1.weight.data.mul_(factor)  # not counted by torch
            block.eval()
            out = block.run_kept(x.clone(), keep)
            block.train()
    torch.testing.assert_close(out, block.run_masked(x, keep), atol=2e-5, rtol=1e-5)

import pytest
import torch

from unsmear import native
from unsmear.layers import WindowBlock
from unsmear.layers.confidence import ConfidencePredictor
from unsmear.layers.confidence_pieces import PredictorInPieces
from unsmear.layers.fast import FusedBlock, fast_block, fast_predictor
from unsmear.layers.folded import fold_block
from unsmear.layers.pieces import BlockInPieces


def make_block(dim=32):
    torch.manual_seed(0)
    return WindowBlock(dim, 2, 8, shift=4, modulator=True).eval().requires_grad_(False)


def test_a_compiled_block_is_taken_where_it_fits():
    block = make_block()
    expected = native.PackedBlock if native.available(torch.float32) else BlockInPieces
    assert isinstance(fast_block(block, torch.zeros(1)), expected)


@pytest.mark.parametrize("dim", [32, 8], ids=["not built", "narrow heads"])
def test_torch_computes_what_nothing_else_does(monkeypatch, dim):
    if dim == 32:
        monkeypatch.setattr(native.levels, "usable_levels", lambda: ())
    assert isinstance(fast_block(make_block(dim), torch.zeros(1)), BlockInPieces)


@pytest.mark.parametrize("dim", [32, 8], ids=["wide", "narrow"])
@pytest.mark.parametrize("built", [True, False])
def test_a_compiled_predictor_is_taken_where_it_fits(monkeypatch, dim, built):
    if not built:
        monkeypatch.setattr(native.levels, "usable_levels", lambda: ())
    fits = built and dim == 32 and native.available(torch.float32)
    expected = native.PackedPredictor if fits else PredictorInPieces
    assert isinstance(fast_predictor(ConfidencePredictor(dim), torch.zeros(1)), expected)


def test_fused_kernels_are_taken_on_gpus(monkeypatch):
    monkeypatch.setattr("unsmear.kernels.can_fuse", lambda x: True)
    assert isinstance(fast_block(make_block(), torch.zeros(1)), FusedBlock)


@pytest.mark.skipif(not native.available(torch.float32), reason="the native kernel is not built")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_form_computes_the_same(dtype):
    block = make_block()
    grid = block.grid(torch.empty(2, 24, 32, 32))
    numbers = torch.tensor([0, 3, 4, 11, 12, 23])
    flat = torch.randn(2 * 24 * 32, 32).to(dtype)
    results = []
    for form in (fast_block(block, flat), BlockInPieces(fold_block(block, dtype))):
        out = flat.clone()
        form.run(out, grid, numbers)
        results.append(out.float())
    difference = (results[0] - results[1]).abs().max()
    assert difference < (1e-5 if dtype == torch.float32 else 0.1)

import pytest
import torch

from unsmear.errors import InputError, ModelError
from unsmear.layers import AdaWPT, Pruning, WindowBlock
from unsmear.layers.adawpt import _round_up

KEEPS = {"none": 0.0, "some": 0.3, "all": 1.0}


def make_block(shift, feed_forward="wleff", **others):
    torch.manual_seed(0)
    return WindowBlock(
        8, 2, 8, shift=shift, feed_forward=feed_forward, modulator=True, **others
    ).eval()


@pytest.mark.parametrize("feed_forward", ["wleff", "leff"])
@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("share", KEEPS.values(), ids=KEEPS.keys())
def test_skipping_windows_equals_masking_them(share, shift, feed_forward, monkeypatch):
    block = make_block(shift, feed_forward)
    x = torch.rand(2, 32, 24, 8)
    keep = (torch.rand(2, 4, 3) < share).float()
    masked = block.run_masked(x, keep)
    torch.testing.assert_close(block.run_kept(x, keep), masked, atol=1e-5, rtol=0)
    monkeypatch.setattr("unsmear.layers.chunks.CPU_ELEMENTS", 1500)  # several chunks
    with torch.no_grad():
        torch.testing.assert_close(block.run_kept(x.clone(), keep), masked, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shift", [0, 4])
def test_skipping_and_masking_have_equal_gradients(shift):
    block = make_block(shift).double()
    keep = (torch.rand(2, 2, 3) < 0.5).double()
    gradients = []
    for run in (block.run_kept, block.run_masked):
        x = torch.linspace(0, 1, 2 * 16 * 24 * 8, dtype=torch.float64).reshape(2, 16, 24, 8)
        x.requires_grad_()
        block.zero_grad()
        run(x, keep).square().sum().backward()
        gradients.append([x.grad, *(p.grad.clone() for p in block.parameters())])
    for kept, masked in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, masked)


def test_pruned_windows_are_untouched_to_the_bit():
    block = make_block(0)
    x = torch.rand(1, 16, 16, 8)
    keep = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    with torch.no_grad():
        out = block.run_kept(x.clone(), keep)
    assert torch.equal(out[:, 8:], x[:, 8:])
    assert torch.equal(out[:, :8, 8:], x[:, :8, 8:])
    assert not torch.equal(out[:, :8, :8], x[:, :8, :8])


@pytest.mark.parametrize("feed_forward", ["wleff", "leff"])
def test_drop_path_leaves_residuals_out_for_whole_images(feed_forward):
    torch.manual_seed(1)
    block = make_block(0, feed_forward, drop_path=0.5).train()
    x = torch.rand(64, 8, 8, 8)
    for run in (block.run_kept, block.run_masked):
        out = run(x, torch.ones(64, 1, 1))
        untouched = (out == x).all(dim=(1, 2, 3)).float().mean().item()
        assert 0.1 < untouched < 0.45  # both residuals dropped: a quarter


def test_rounded_counts_are_few_and_never_smaller():
    counts = {len(_round_up(torch.arange(n))) for n in range(1, 1025)}
    assert len(counts) <= 8 * 10
    for n in (1, 7, 100, 999):
        padded = _round_up(torch.arange(n))
        assert n <= len(padded) <= n * 1.13 + 1
        assert padded[:n].tolist() == list(range(n))


def test_later_blocks_reuse_the_decision_of_their_shift():
    torch.manual_seed(0)
    stage = AdaWPT(8, 4, 2, pruned=True).eval()
    assert len(stage.predictors) == 2
    keep = [torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 0.0]]])]
    x = torch.rand(1, 8, 16, 8)
    with torch.no_grad():
        out = stage(x.clone(), Pruning(decisions=keep)).x
        wanted = stage.blocks[2].run_kept(stage.blocks[0].run_kept(x.clone(), keep[0]), keep[0])
    assert torch.equal(out, wanted)


def test_a_stage_without_predictors_computes_every_window():
    stage = AdaWPT(8, 2, 2, pruned=False).eval()
    out = stage(torch.rand(1, 8, 8, 8), Pruning())
    assert out.scores == []
    assert out.keep == []


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "expanded"])
def test_a_map_is_only_overwritten_where_that_is_asked(layout):
    torch.manual_seed(0)
    stage = AdaWPT(16, 2, 2).eval()
    x = torch.rand(2, 16, 16, 16)
    if layout == "channels last":
        x = x.permute(0, 3, 1, 2).to(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    elif layout == "expanded":
        x = x[:1].expand(2, -1, -1, -1)
    before = x.clone()
    with torch.no_grad():
        out = stage(x, Pruning(0.0)).x
        assert torch.equal(x, before)
        assert torch.equal(stage(x.clone(), Pruning(0.0), overwrite=True).x, out)
        assert stage(x, Pruning(1.0)).x.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    "x",
    [
        torch.rand(1, 16, 24, 8),  # other channels
        torch.rand(1, 16, 16, 24),  # [B, C, H, W]
        torch.rand(1, 15, 24, 16),  # no whole windows
        torch.rand(16, 24, 16),
        torch.rand(0, 16, 24, 16),
        torch.ones(1, 16, 24, 16, dtype=torch.int64),
    ],
    ids=lambda x: f"{x.dtype}{tuple(x.shape)}",
)
def test_a_map_of_another_kind_is_refused(x, grad):
    stage = AdaWPT(16, 2, 2).eval()
    with torch.set_grad_enabled(grad), pytest.raises(InputError, match=r"\(B, H, W, 16\)"):
        stage(x, Pruning())


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("decisions", [torch.ones(1, 2, 3)]),  # of one predictor
        ("decisions", [torch.ones(1, 3, 2)] * 2),
        ("decisions", [torch.ones(1, 9, 3)] * 2),  # windows that are not there
        ("means", [torch.zeros(1, 16)] * 2),
        ("means", [torch.zeros(2, 8)] * 2),
    ],
)
def test_what_does_not_fit_the_map_is_refused(name, maps, grad):
    stage = AdaWPT(16, 2, 2).eval()
    with torch.set_grad_enabled(grad), pytest.raises(InputError, match=name):
        stage(torch.rand(1, 16, 24, 16), Pruning(**{name: maps}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"dim": 0},
        {"dim": 2},  # predictors halve it twice
        {"depth": 0},
        {"num_heads": 3},
        {"num_heads": 0},
        {"window_size": 7},
        {"window_size": 0},
        {"mlp_ratio": 0},
        {"feed_forward": "leef"},
        {"drop_path": (0.1,)},
        {"drop_path": (0.0, 1.0)},
    ],
    ids=str,
)
def test_a_stage_that_cannot_be_is_refused(wrong):
    with pytest.raises(ModelError, match=next(iter(wrong))):
        AdaWPT(**{"dim": 16, "depth": 2, "num_heads": 2, **wrong})


def test_functional_gradients_are_those_of_backward():
    torch.manual_seed(0)
    stage = AdaWPT(16, 2, 1).eval()
    weights = dict(stage.named_parameters())
    x, pruning = torch.randn(1, 16, 24, 16), Pruning(0.0, compute_all=True)

    def loss(weights):
        return torch.func.functional_call(stage, weights, (x, pruning)).x.square().sum()

    found = torch.func.grad(loss)(weights)
    loss(weights).backward()
    for name in ("blocks.0.attention.to_q.weight", "blocks.1.feed_forward.depthwise.weight"):
        torch.testing.assert_close(found[name], weights[name].grad, atol=1e-4, rtol=1e-4)

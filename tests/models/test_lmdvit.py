import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F

from unsmear.errors import InputError, ModelError
from unsmear.models import LMDViT, LMDViTConfig, create_model, load_model
from unsmear.models.lmdvit import pad_to_multiple


@pytest.mark.parametrize(
    ("name", "count"), [("lmdvit", 54_549_163), ("lmdvit-small", 13_945_471), ("lmdvit-tiny", None)]
)
def test_parameter_counts(name, count):
    with torch.device("meta"):
        parameters = sum(p.numel() for p in create_model(name).parameters())
    assert parameters == count if count else 2e6 <= parameters <= 4.5e6


def test_parameter_count_without_pruning():
    with torch.device("meta"):
        network = create_model("lmdvit", pruned_stages=())
    assert sum(p.numel() for p in network.parameters()) == 50_881_523


@pytest.mark.parametrize("compute_all", [False, True])
@pytest.mark.parametrize("image", [0, 1])
def test_agrees_with_the_released_model(reference_network, reference_io, image, compute_all):
    with torch.no_grad():
        out = reference_network(reference_io["input"][[image]], compute_all=compute_all)
    prefix = f"pruned.{image}"
    close = {"atol": 1e-4, "rtol": 0.0}
    torch.testing.assert_close(out.restored, reference_io[f"{prefix}.output"], **close)
    torch.testing.assert_close(out.gate, reference_io[f"{prefix}.gate"], **close)
    assert len(out.keep) == len(out.scores) == 16
    for k, (keep, scores) in enumerate(zip(out.keep, out.scores, strict=True)):
        assert torch.equal(keep, reference_io[f"{prefix}.decision.{k}"])
        wanted = reference_io[f"{prefix}.score.{k}"].float()  # stored in half precision
        torch.testing.assert_close(scores, wanted, atol=1e-3, rtol=1e-3)


def test_unpruned_agrees_with_the_released_model(reference_network, reference_io):
    with torch.no_grad():
        out = reference_network(reference_io["input"], decisions="all")
    torch.testing.assert_close(out.restored, reference_io["dense.output"], atol=1e-4, rtol=0)
    torch.testing.assert_close(out.gate, reference_io["dense.gate"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "stages"), [("2to8", range(2, 9)), ("4to6", range(4, 7))])
def test_fewer_pruned_stages_agree_with_the_released_model(
    reference_weights, reference_io, name, stages
):
    network = load_model(reference_weights, pruned_stages=tuple(stages))
    with torch.no_grad():
        out = network(reference_io["input"][:1])
    wanted = reference_io[f"prune_{name}.output"]
    torch.testing.assert_close(out.restored, wanted, atol=1e-4, rtol=0)


def test_keeping_all_equals_the_network_without_predictors(reference_weights, reference_io):
    dense = load_model(reference_weights, pruned_stages=())
    with torch.no_grad():
        forced = load_model(reference_weights)(reference_io["input"], decisions="all")
        unpruned = dense(reference_io["input"])
    torch.testing.assert_close(forced.restored, unpruned.restored, atol=1e-6, rtol=0)
    assert unpruned.keep == ()
    assert (unpruned.blur_map == 1).all()


def test_keeping_none_touches_no_token_in_any_block(small_network, monkeypatch):
    def refuse(*_):
        raise AssertionError("a block computed a window")

    for stage in small_network.stages:
        for block in stage.blocks:
            monkeypatch.setattr(block, "_transform", refuse)
    with torch.no_grad():
        out = small_network(torch.rand(1, 3, 128, 128), decisions="none")
    assert all(not keep.any() for keep in out.keep)


def test_pruned_inference_equals_the_training_form(small_network):
    x = torch.rand(2, 3, 200, 150)
    with torch.no_grad():
        skipped = small_network(x)
        masked = small_network(x, decisions=skipped.keep, compute_all=True)
    shares = [keep.mean().item() for keep in skipped.keep]
    assert any(0 < share < 1 for share in shares)
    torch.testing.assert_close(skipped.restored, masked.restored, atol=1e-5, rtol=0)


def test_a_batch_equals_single_runs(small_network):
    x = torch.rand(3, 3, 128, 256) * torch.tensor([0.2, 0.6, 1.0])[:, None, None, None]
    with torch.no_grad():
        together = small_network(x)
        for index in range(3):
            alone = small_network(x[index : index + 1])
            torch.testing.assert_close(
                together.restored[index : index + 1], alone.restored, atol=1e-5, rtol=0
            )
            for a, b in zip(together.keep, alone.keep, strict=True):
                assert torch.equal(a[index : index + 1], b)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 200), (7, 9), (127, 129), (128, 128), (130, 300)], ids=str
)
def test_any_size_works(small_network, size):
    with torch.no_grad():
        out = small_network(torch.rand(1, 3, *size))
    assert out.restored.shape == (1, 3, *size)
    assert out.gate.shape == out.blur_map.shape == (1, 1, *size)
    assert 0 <= out.blur_map.min() <= out.blur_map.max() <= 1
    assert out.gate.min() >= 0.1
    assert torch.isfinite(out.restored).all()
    for scores, keep in zip(out.scores, out.keep, strict=True):
        assert keep.shape == (1, 1, scores.shape[1] // 8, scores.shape[2] // 8)


def test_the_gate_is_never_closed(small_network):
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        small_network.output_proj.weight.zero_()
        small_network.output_proj.bias.copy_(torch.tensor([0.5, 0.5, 0.5, -20.0]))
        out = small_network(x)
    assert torch.equal(out.gate, torch.full_like(out.gate, 0.1))
    torch.testing.assert_close(out.restored, x + 0.05)


@pytest.mark.parametrize(("stages", "scale"), [((2, 8), 2), ((1, 4, 9), 1)])
def test_the_blur_map_is_the_confidence_of_the_last_pruned_stage(small_network, stages, scale):
    network = LMDViT(dataclasses.replace(small_network.config, pruned_stages=stages)).eval()
    predictors = network.stages[stages[-1] - 1].predictors
    with torch.no_grad():
        out = network(torch.rand(1, 3, 128, 128))
        own = torch.stack(out.scores[-len(predictors) :]).softmax(dim=-1)[..., 0].mean(dim=0)
        wanted = F.interpolate(own[:, None], scale_factor=scale, mode="bilinear")
        torch.testing.assert_close(out.blur_map, wanted)
        for predictor in predictors:
            predictor.judge[-1].bias.copy_(torch.tensor([9.0, 0.0]))
        assert network(torch.rand(1, 3, 128, 128)).blur_map.min() > 0.9


def test_fresh_blocks_hardly_change_their_input():
    torch.manual_seed(0)
    network = create_model("lmdvit", embed_dim=16, depths=(1,) * 9)
    for stage, dim in zip(network.stages, network.config.dims, strict=True):
        x = torch.randn(1, 8, 8, dim)
        with torch.no_grad():
            change = stage.blocks[0].run_kept(x.clone(), torch.ones(1, 1, 1)) - x
        assert 0 < change.std() < 0.09  # 0.11 to 0.17 with torch's own first weights
    predictor = network.bottleneck.predictors[0]
    assert predictor.embed[0].weight.std() > 0.03  # as torch begins it


def test_thresholds_keep_fewer_windows_as_they_rise(small_network):
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        kept = [small_network(x, threshold=t).keep[0].mean() for t in (0.0, 0.4, 0.5, 0.6, 1.0)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 1
    assert kept[-1] == 0


def test_a_mask_keeps_exactly_the_windows_it_touches(small_network):
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 130, 60] = 1
    with torch.no_grad():
        out = small_network(torch.rand(1, 3, 256, 256), decisions=mask)
    for (stage, shift), keep in zip(small_network.predictor_places, out.keep, strict=True):
        scale = small_network.scale_of(stage)
        rows, columns = keep.shape[-2:]
        row = (130 // scale - shift) // 8 % rows
        column = (60 // scale - shift) // 8 % columns
        assert keep.sum() == 1
        assert keep[0, 0, row, column] == 1


def test_gradients_reach_every_predictor(small_network):
    torch.manual_seed(0)
    network = small_network.train()
    network(torch.rand(2, 3, 128, 128)).restored.square().mean().backward()
    for stage in network.stages:
        for predictor in stage.predictors:
            assert any(p.grad.abs().sum() > 0 for p in predictor.parameters())


def test_training_draws_decisions_and_eval_repeats_itself(small_network):
    x = torch.rand(1, 3, 128, 128)
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = [small_network.train()(x).keep[0] for _ in range(2)]
        fixed = [small_network.eval()(x).keep[0] for _ in range(2)]
    assert not torch.equal(*drawn)
    assert torch.equal(*fixed)


def test_half_types_stay_near_float32(small_network):
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        exact = small_network(x, decisions="all").restored
        rough = small_network.to(torch.bfloat16)(x, decisions="all")
    assert rough.restored.dtype == torch.float32
    assert (rough.restored - exact).abs().max() < 0.05


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (torch.rand(3, 8, 8), "shape"),
        (torch.rand(1, 4, 8, 8), "shape"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "floats"),
    ],
)
def test_wrong_tensors_are_refused(small_network, wrong, says):
    with pytest.raises(InputError, match=says):
        small_network(wrong)


def test_wrong_decisions_and_thresholds_are_refused(small_network):
    x = torch.rand(1, 3, 16, 16)
    with pytest.raises(InputError, match="mask"):
        small_network(x, decisions=torch.ones(1, 1, 8, 8))
    with pytest.raises(InputError, match="decisions"):
        small_network(x, decisions="some")
    with pytest.raises(InputError, match="threshold"):
        small_network(x, threshold=1.5)
    with pytest.raises(InputError, match="shapes"):
        small_network(x, decisions=[torch.ones(1, 1, 2, 2)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"depths": (1, 2)},
        {"depths": (0,) * 9},
        {"embed_dim": 6},
        {"num_heads": (3,) * 9},
        {"window_size": 7},
        {"pruned_stages": (10,)},
        {"feed_forward": "mlp"},
        {"drop_path": 1.0},
        {"mlp_ratio": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ModelError):
        LMDViTConfig(**wrong)


def test_drop_path_rises_and_falls():
    rates = LMDViTConfig().drop_paths
    encoder = list(itertools.chain(*rates[:4]))
    decoder = list(itertools.chain(*rates[5:]))
    assert encoder == sorted(encoder)
    assert (encoder[0], max(encoder)) == pytest.approx((0.0, 0.1))
    assert rates[4] == (0.1, 0.1)
    assert decoder == encoder[::-1]
    with torch.device("meta"):
        stages = create_model("lmdvit").stages
    assert tuple(tuple(block.drop_path for block in stage.blocks) for stage in stages) == rates


def test_global_feed_forward_is_a_variant():
    network = create_model(
        "lmdvit", embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9, feed_forward="leff"
    )
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        out = network(x)
        masked = network(x, decisions=out.keep, compute_all=True)
    torch.testing.assert_close(out.restored, masked.restored, atol=1e-5, rtol=0)
    windowed = LMDViT(LMDViTConfig(embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9)).eval()
    windowed.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert not torch.allclose(windowed(x, decisions="all").restored, masked.restored)


def test_padding_reflects_where_it_can():
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    padded = pad_to_multiple(image, 4)
    assert padded.shape == (1, 1, 4, 4)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 2]  # too low to reflect two rows: the edge repeats
    assert pad_to_multiple(torch.arange(3.0).reshape(1, 1, 1, 3).expand(1, 1, 3, 3), 4)[
        0, 0, 0
    ].tolist() == [0, 1, 2, 1]

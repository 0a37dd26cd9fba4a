from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from unsmear.errors import InputError, ModelError
from unsmear.layers.pixel_sampling import (
    PixelSampler,
    Sampling,
    Selection,
    policy_gradient_loss,
    sampling_reward,
)
from unsmear.models.saphn import ABLATIONS, CONFIGS, SAPHN, SAPHNConfig

TINY = SAPHNConfig(widths=(4, 5, 6), maps=3)


def tiny(**changes):
    torch.manual_seed(0)
    return SAPHN(replace(TINY, **changes)).eval()


def livened(network):
    """Heads that say something else for every pixel; fresh ones say V = 1 and D = 0."""
    for name, parameter in network.named_parameters():
        if name.endswith(("kernel_head.weight", "offset_head.weight")):
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def sizes_of(config, budget=0.0):
    """Parameters, and multiply-adds for 3 x 256 x 256."""
    with torch.device("meta"):
        network, image = SAPHN(config).eval(), torch.empty(1, 3, 256, 256)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image, budget=budget)
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() / 2


def test_sizes_are_the_published_ones():
    parameters, uniform = sizes_of(CONFIGS["saphn-uniform"])
    assert parameters == pytest.approx(23e6, rel=0.1)
    assert uniform == pytest.approx(140e9, rel=0.1)
    parameters, sampled = sizes_of(CONFIGS["saphn"])
    assert parameters == pytest.approx(23e6, rel=0.1)
    assert sampled == pytest.approx(140e9, rel=0.1)
    assert sampled <= 1.05 * uniform
    assert sizes_of(CONFIGS["saphn"], budget=-0.1)[1] < sampled
    assert sizes_of(CONFIGS["saphn-uniform-light"])[1] < 0.5 * uniform


@pytest.mark.parametrize("sampling", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (3, 17), (25, 30)])
def test_any_size_comes_back(sampling, size):
    blurred = torch.rand(2, 3, *size)
    with torch.no_grad():
        out = tiny(sampling=sampling)(blurred)
    assert out.restored.shape == blurred.shape
    assert [stage.shape for stage in out.stages] == [blurred.shape] * 3
    assert torch.equal(out.stages[-1], out.restored)
    places = [(one.stage, one.ratio) for one in out.sampling]
    assert places == ([(2, 2), (2, 4), (3, 2), (3, 4)] if sampling else [])
    for one in out.sampling:
        assert one.logits.shape == one.drawn.shape == (2, 1, *size)


def test_sampling_follows_the_budget():
    network, blurred = tiny(), torch.rand(1, 3, 32, 48)
    for budget in (-0.5, 0.0, 1.0):
        with torch.no_grad():
            out = network(blurred, budget=budget)
        for one in out.sampling:
            wanted = 32 * 48 * (1 + budget) / one.ratio**2
            assert one.drawn.sum() == wanted
            assert one.share == wanted / (32 * 48)


@pytest.mark.parametrize("sampling", [False, True])
def test_a_batch_equals_its_pictures_one_by_one(sampling):
    network, blurred = livened(tiny(sampling=sampling)), torch.rand(3, 3, 16, 24)
    with torch.no_grad():
        together = network(blurred)
        for k in range(3):
            alone = network(blurred[k : k + 1])
            torch.testing.assert_close(alone.restored, together.restored[k : k + 1])
            for one, many in zip(alone.sampling, together.sampling, strict=True):
                assert torch.equal(one.drawn, many.drawn[k : k + 1])


@pytest.mark.parametrize("cross_level", [False, True])
def test_maps_overwritten_without_gradients_change_nothing(cross_level):
    network, blurred = livened(tiny(cross_level=cross_level)), torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        overwritten = network(blurred).stages
    for mine, kept in zip(overwritten, network(blurred).stages, strict=True):
        torch.testing.assert_close(mine, kept.detach())


@pytest.mark.parametrize("sampling", [False, True])
def test_the_picture_itself_is_not_rounded_in_bfloat16(sampling):
    network = tiny(sampling=sampling).bfloat16()
    for stage in network.stages:  # now without a residual
        torch.nn.init.zeros_(stage.output_proj.weight)
        torch.nn.init.zeros_(stage.output_proj.bias)
    ramp = torch.linspace(0.5, 1, 3 * 16 * 24).reshape(1, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(network(ramp).restored, ramp)


def test_sampling_every_pixel_equals_processing_everything(monkeypatch):
    network, blurred = livened(tiny()), torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        usual = network(blurred).restored

        def choosing(selected):
            def forward(self, features, budget=0.0):
                b, _, h, w = features.shape
                index = torch.arange(h * w).expand(b, -1).flip(1)  # an order of its own
                selection = Selection(index, None, h, w) if selected else None
                ones = torch.ones(b, 1, h, w)
                return Sampling(selection, ones, ones, 1.0)

            monkeypatch.setattr(PixelSampler, "forward", forward)
            return network(blurred).restored

        sampled, everything = choosing(True), choosing(False)
    torch.testing.assert_close(sampled, everything)
    assert (usual - everything).abs().max() > 1e-4  # and it does matter


@pytest.mark.parametrize("sampling", [False, True])
def test_stages_see_quarters_then_halves_then_the_whole(sampling):
    network, blurred, seen = tiny(sampling=sampling), torch.rand(1, 3, 16, 24), []
    for stage in network.stages:
        stage.register_forward_hook(lambda _, given, made: seen.append((*given[:2], made)))
    with torch.no_grad():
        pictures = network(blurred).stages
    quarters = [part for half in blurred.chunk(2, 2) for part in half.chunk(2, 3)]
    wanted = [torch.cat(quarters), torch.cat(pictures[0].chunk(2, 2)), pictures[1]]
    for (given, _, _), parts in zip(seen, wanted, strict=True):
        torch.testing.assert_close(given, parts)
    assert seen[0][1] is None
    for (_, _, below), (_, lower, _), joined in zip(seen, seen[1:], (3, 2), strict=False):
        for left, taken in zip(below.features, lower, strict=True):
            pairs = left.split(2) if joined == 3 else [left]  # left and right of a half
            parts = [torch.cat([*pair], dim=2 if joined == 3 else 1) for pair in pairs]
            torch.testing.assert_close(taken, torch.stack(parts))


def test_only_sampled_pixels_are_worked_on_at_coarse_scales():
    network = livened(tiny())
    block = network.stages[2].encoder[2][0]
    x, index = torch.rand(1, 6, 8, 8), torch.tensor([[3, 17, 40, 63]])
    with torch.no_grad():
        out = block(x, 4, Selection(index, None, 8, 8), None)
    changed = (out != x).any(dim=1).flatten().nonzero().flatten()
    assert changed.tolist() == index[0].tolist()


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_has_the_parts_it_says(name):
    switches = ABLATIONS[name]
    network = tiny(**switches)
    with torch.no_grad():
        out = network(torch.rand(1, 3, 16, 16))
    names = " ".join(key for key, _ in network.named_parameters())
    parts = {
        "self_attention": "self_attention.",
        "cross_attention": "cross_attention.",
        "cross_level": "cross_level.",
        "masks": "pixel_mask.",
        "kernels": "kernel_head.",
        "offsets": "offset_head.",
        "sampling": "samplers.",
    }
    assert {switch: part in names for switch, part in parts.items()} == {
        switch: switches[switch] for switch in parts
    }
    assert len(out.stages) == (3 if switches["progressive"] else 1)
    assert len(out.sampling) == (4 if switches["sampling"] else 0)


def test_ablations_end_in_the_published_models():
    assert replace(CONFIGS["saphn-uniform"], **ABLATIONS["net9"]) == CONFIGS["saphn-uniform"]
    assert replace(CONFIGS["saphn"], **ABLATIONS["net11"]) == CONFIGS["saphn"]


def test_the_elu_variant_is_another_network():
    blurred, weights = torch.rand(1, 3, 16, 16), tiny().state_dict()
    other = tiny(activation="elu")
    other.load_state_dict(weights)
    with torch.no_grad():
        assert (other(blurred).restored - tiny()(blurred).restored).abs().max() > 1e-6


@pytest.mark.parametrize("sampling", [False, True])
@pytest.mark.parametrize("cross_level", [False, True])
def test_gradients_reach_every_parameter(sampling, cross_level):
    network = tiny(sampling=sampling, cross_level=cross_level).train()
    blurred, sharp = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    out = network(blurred)
    loss = sum((stage - sharp).abs().mean() for stage in out.stages)
    for one in out.sampling:
        judged = out.stages[one.stage - 2 : one.stage]  # before and after the decision
        reward = sampling_reward(judged, sharp, one.drawn, one.share)
        loss = loss + policy_gradient_loss(one.logits, one.drawn, reward)
    loss.backward()
    unmoved = ".collect.bias"  # a softmax over pixels does not see what is added to all of them
    gradients = {k: p.grad for k, p in network.named_parameters() if not k.endswith(unmoved)}
    assert [k for k, grad in gradients.items() if grad is None or not grad.any()] == []


def test_a_fresh_network_learns_to_copy():
    torch.manual_seed(0)
    network, blurred = tiny().train(), torch.rand(2, 3, 16, 16)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        loss = sum((stage - blurred).abs().mean() for stage in network(blurred).stages)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"widths": (4, 4)},
        {"widths": (4, 0, 4)},
        {"maps": 0},
        {"max_offset": 0.0},
        {"activation": "relu"},
    ],
)
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(ModelError):
        SAPHNConfig(**wrong)


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match=r"\(B, 3, H, W\)"):
        tiny()(torch.rand(3, 16, 16))
    with pytest.raises(InputError, match="divide by 255"):
        tiny()(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(InputError, match="budget"):
        tiny()(torch.rand(1, 3, 16, 16), budget=1.5)
    with pytest.raises(InputError, match="no budget"):
        tiny(sampling=False)(torch.rand(1, 3, 16, 16), budget=0.1)

"""What DMPHN and SRN share at their border, with pixel-adaptive sampling and without."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from unsmear.errors import InputError
from unsmear.layers.pixel_sampling import PixelSampler, Sampling, Selection, policy_gradient_loss
from unsmear.models.dmphn import DMPHN, DMPHNConfig
from unsmear.models.srn import SRN, SRNConfig

SAMPLED = {
    "dmphn": [(2, 2), (2, 4), (3, 2), (3, 4), (4, 2), (4, 4)],
    "srn": [(2, 2), (2, 4), (3, 2), (3, 4)],
}
both = pytest.mark.parametrize("name", SAMPLED)


def small(name, sampling=True):
    torch.manual_seed(0)
    if name == "dmphn":
        return DMPHN(DMPHNConfig(embed_dim=2, sampling=sampling)).eval()
    return SRN(SRNConfig(embed_dim=2, blocks=1, kernel_size=3, sampling=sampling)).eval()


def multiply_adds(network, side):
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        network.eval()(torch.empty(1, 3, side, side, device="meta"))
    return counted.get_total_flops() / 2


def choosing_all(order):
    """A sampler that takes every pixel, in an order of its own."""

    def forward(self, features, budget=0.0):
        b, _, h, w = features.shape
        ones = torch.ones(b, 1, h, w)
        return Sampling(
            Selection(order(torch.arange(h * w)).expand(b, -1), None, h, w), ones, ones, 1
        )

    return forward


@both
@pytest.mark.parametrize("size", [(1, 1), (3, 17), (33, 5)])
def test_any_size_comes_back_with_what_was_sampled(name, size):
    blurred = torch.rand(2, 3, *size)
    with torch.no_grad():
        out = small(name)(blurred)
    assert out.restored.shape == blurred.shape
    assert out.restored.isfinite().all()
    assert [(one.stage, one.ratio) for one in out.sampling] == SAMPLED[name]
    for one in out.sampling:
        wanted = out.supervised[one.stage - 1].shape[-2:]
        assert one.logits.shape == one.drawn.shape == (2, 1, *wanted)
    torch.testing.assert_close(out.blur_map, out.sampling[-2].logits.sigmoid())
    assert out.blur_map.shape == (2, 1, *size)


@both
def test_without_sampling_nothing_is_judged(name):
    with torch.no_grad():
        out = small(name, sampling=False)(torch.rand(2, 3, 9, 11))
    assert out.sampling == ()
    assert torch.equal(out.blur_map, torch.ones(2, 1, 9, 11))
    assert out.supervised[-1] is out.restored
    assert out.supervised[:-1] == out.stages


@both
@pytest.mark.parametrize("budget", [-0.5, 0.0, 1.0])
def test_sampling_follows_the_budget(name, budget):
    with torch.no_grad():
        out = small(name)(torch.rand(1, 3, 32, 48), budget=budget)
    for one in out.sampling:
        wanted = (1 + budget) / one.ratio**2
        assert one.drawn.mean() == wanted
        assert one.share == wanted


@both
def test_a_batch_equals_its_pictures_one_by_one(name):
    network, blurred = small(name), torch.rand(3, 3, 20, 24)
    with torch.no_grad():
        together = network(blurred)
        for k in range(3):
            alone = network(blurred[k : k + 1])
            torch.testing.assert_close(alone.restored, together.restored[k : k + 1])
            for one, many in zip(alone.sampling, together.sampling, strict=True):
                assert torch.equal(one.drawn, many.drawn[k : k + 1])


@both
def test_pixels_are_drawn_in_training_and_chosen_otherwise(name):
    network, blurred = small(name), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(blurred).restored, network(blurred).restored)
        network.train()
        draws = [[one.drawn for one in network(blurred).sampling] for _ in range(2)]
    for first, second in zip(*draws, strict=True):
        assert (first != second).any()


@both
def test_every_pixel_sampled_the_order_does_not_matter(name, monkeypatch):
    network, blurred = small(name), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        usual = network(blurred).restored
        monkeypatch.setattr(PixelSampler, "forward", choosing_all(lambda index: index))
        ascending = network(blurred).restored
        monkeypatch.setattr(PixelSampler, "forward", choosing_all(lambda index: index.flip(0)))
        descending = network(blurred).restored
    torch.testing.assert_close(ascending, descending)
    assert (usual - ascending).abs().max() > 1e-4  # and it does matter which are sampled


@both
def test_gradients_of_the_pictures_reach_all_but_the_samplers(name):
    network = small(name).train()
    out = network(torch.rand(2, 3, 32, 32))
    sum(picture.square().mean() for picture in out.supervised).backward()
    for key, parameter in network.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached != key.startswith("samplers."), key


@both
def test_samplers_learn_by_the_policy_gradient_and_nothing_else_does(name):
    network = small(name).train()
    sampling = network(torch.rand(2, 3, 32, 32)).sampling
    earned = [torch.rand_like(one.drawn) for one in sampling]
    losses = [
        policy_gradient_loss(one.logits, one.drawn, reward)
        for one, reward in zip(sampling, earned, strict=True)
    ]
    torch.stack(losses).sum().backward()
    for key, parameter in network.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached == key.startswith("samplers."), key


@both
def test_a_fresh_sampler_draws_about_its_share(name):
    with torch.no_grad():
        out = small(name).train()(torch.rand(1, 3, 64, 64))
    for one in out.sampling:
        assert one.drawn.mean() == pytest.approx(one.share, rel=0.5)


@both
def test_type_of_the_picture_comes_back(name):
    with torch.no_grad():
        out = small(name).bfloat16()(torch.rand(1, 3, 16, 16))
    assert out.restored.dtype == out.blur_map.dtype == torch.float32


@both
def test_budgets_that_cannot_be_are_refused(name):
    blurred = torch.rand(1, 3, 16, 16)
    with pytest.raises(InputError, match="no budget"):
        small(name, sampling=False)(blurred, budget=0.1)
    with pytest.raises(InputError, match="budget lies in"):
        small(name)(blurred, budget=1.5)


@pytest.mark.parametrize(("network", "config"), [(DMPHN, DMPHNConfig), (SRN, SRNConfig)])
def test_sampling_costs_about_as_much(network, config):
    with torch.device("meta"):
        uniform, sampled = (network(config(sampling=sampling)) for sampling in (False, True))
    assert multiply_adds(sampled, 128) == pytest.approx(multiply_adds(uniform, 128), rel=0.02)

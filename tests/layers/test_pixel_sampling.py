import itertools

import pytest
import torch

from unsmear.errors import InputError, ModelError
from unsmear.layers.pixel_sampling import (
    PixelSampler,
    Selection,
    budget_loss,
    gather_pixels,
    pixel_rows,
    policy_gradient_loss,
    put_back,
    sampling_reward,
    selection_of,
)


@pytest.fixture
def sampler():
    torch.manual_seed(0)
    return PixelSampler(3, share=1 / 4)


def test_the_likeliest_pixels_are_taken(sampler):
    sampled = sampler.eval()(torch.randn(2, 3, 8, 10))
    assert sampled.share == 1 / 4
    for logits, drawn, index in zip(*sampled[1:3], sampled.selection.index, strict=True):
        assert index.tolist() == drawn.flatten().nonzero().flatten().tolist()
        assert len(index) == 20
        assert logits[drawn > 0].min() >= logits[drawn == 0].max()


@pytest.mark.parametrize(("budget", "count"), [(-0.5, 10), (-0.1, 18), (0.2, 24), (1.0, 40)])
def test_the_budget_sets_how_many(sampler, budget, count):
    sampled = sampler.eval()(torch.randn(1, 3, 8, 10), budget)
    assert sampled.selection.index.shape == (1, count)
    assert sampled.share == count / 80


@pytest.mark.parametrize("budget", [-0.51, 1.01, float("nan")])
def test_other_budgets_are_refused(sampler, budget):
    with pytest.raises(InputError, match="budget"):
        sampler(torch.randn(1, 3, 8, 8), budget)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_other_shares_are_refused(share):
    with pytest.raises(ModelError, match="share"):
        PixelSampler(3, share)


def test_training_draws_every_pixel_with_its_probability(sampler):
    features = torch.randn(1, 3, 8, 10)
    sampled = [sampler(features) for _ in range(2000)]
    frequency = torch.stack([one.drawn for one in sampled]).mean(dim=0)
    probability = sampled[0].logits.sigmoid()
    error = (probability * (1 - probability) / 2000).sqrt()
    assert ((frequency - probability).abs() < 5 * error).all()
    assert 0.15 < probability.mean() < 0.35  # a fresh sampler keeps near its share


def test_no_gradient_leaves_for_the_features(sampler):
    features = torch.randn(1, 3, 6, 6, requires_grad=True)
    sampled = sampler(features)
    policy_gradient_loss(sampled.logits, sampled.drawn, -torch.rand(1, 1, 6, 6)).backward()
    assert features.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in sampler.parameters())


def test_coordinates_span_the_picture():
    selection = Selection(torch.tensor([[0, 3, 4, 11]]), None, height=3, width=4)
    wanted = torch.tensor([[[0, 0], [1, 0], [0, 0.5], [1, 1]]])
    torch.testing.assert_close(selection.coordinates, wanted)


@pytest.mark.parametrize("count", [1, 13, 30])
def test_putting_back_undoes_gathering(count):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 6)
    index = torch.stack([torch.randperm(30)[:count] for _ in range(2)])
    selection = Selection(index, None, 5, 6)
    pixels = gather_pixels(x, selection)
    assert torch.equal(put_back(pixels, x, selection), x)
    assert torch.equal(
        gather_pixels(put_back(pixels, torch.zeros_like(x), selection), selection), pixels
    )
    assert torch.equal(put_back(gather_pixels(x, None), torch.zeros_like(x), None), x)


def test_channels_stay_last():
    x = torch.randn(1, 3, 5, 6).to(memory_format=torch.channels_last)
    selection = Selection(torch.tensor([[4, 29]]), None, 5, 6)
    for some in (None, selection):
        out = put_back(gather_pixels(x, some), x, some)
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert pixel_rows(out).data_ptr() == out.data_ptr()  # no copy


def test_what_may_be_overwritten_is_not_copied():
    x = torch.rand(2, 3, 5, 6).to(memory_format=torch.channels_last)
    selection = Selection(torch.tensor([[4, 29], [0, 7]]), None, 5, 6)
    pixels = torch.rand(2, 3, 2)
    wanted = put_back(pixels, x, selection)
    assert not torch.equal(wanted, x)
    out = put_back(pixels, x, selection, overwrite=True)
    assert out.data_ptr() == x.data_ptr()
    assert torch.equal(out, wanted)
    assert torch.equal(x, wanted)


def test_images_with_fewer_pixels_keep_the_others():
    drawn = torch.zeros(3, 1, 4, 4)
    drawn[0, 0, 1], drawn[1, 0, 2, 3] = 1, 1  # four pixels, one, none
    selection = selection_of(drawn)
    assert selection.index.shape == (3, 4)
    assert selection.valid.sum(dim=1).tolist() == [4, 1, 0]
    x = torch.rand(3, 2, 4, 4)
    out = put_back(gather_pixels(x, selection) + 5, x, selection)
    torch.testing.assert_close(out, x + 5 * drawn)


def test_gradients_are_right():
    torch.manual_seed(0)
    drawn = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 1, 0]]).view(2, 1, 2, 3).double()
    selection = selection_of(drawn)
    x, onto = (torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in "ab")

    def run(x, onto):
        return put_back(gather_pixels(x, selection).square(), onto, selection)

    assert torch.autograd.gradcheck(run, (x, onto))


def test_reward_by_hand():
    sharp = torch.zeros(2, 3, 1, 2)
    outputs = [torch.full_like(sharp, 0.2), torch.full_like(sharp, -0.1)]
    drawn = torch.tensor([[1.0, 1.0], [1.0, 0.0]]).view(2, 1, 1, 2)
    reward = sampling_reward(outputs, sharp, drawn, share=0.5)
    wanted = torch.tensor([[-0.8, -0.8], [-0.3, -0.3]]).view(2, 1, 1, 2)  # only one is over
    torch.testing.assert_close(reward, wanted)


@pytest.mark.parametrize("baseline", [0.0, -1.1])
def test_policy_gradient_estimates_the_exact_gradient(baseline):
    torch.manual_seed(0)
    logits = torch.tensor([0.4, -0.7, 1.1, -0.2], requires_grad=True)
    errors = torch.tensor([0.9, 0.3, 0.7, 0.1])

    def reward_of(drawn):
        """Working on a pixel mends most of its error; more than two pixels are over budget."""
        outputs = (errors * (1 - 0.8 * drawn)).view(-1, 1, 1, 4).expand(-1, 3, -1, -1)
        maps = drawn.view(-1, 1, 1, 4)
        return sampling_reward([outputs], torch.zeros_like(outputs), maps, share=0.5)

    # Exactly, over all 16 draws: pixel j climbs its own expected reward.
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
    probability = logits.sigmoid()
    chance = torch.where(every > 0, probability, 1 - probability).prod(dim=1)
    expected = (chance[:, None] * reward_of(every).view(-1, 4)).sum(dim=0)  # one a pixel
    exact = torch.stack(
        [torch.autograd.grad(expected[j], logits, retain_graph=True)[0][j] for j in range(4)]
    )

    count = 20_000
    draws = torch.bernoulli(probability.detach().expand(count, 4))
    own = logits.detach().expand(count, 4).clone().requires_grad_()
    maps = (own.view(-1, 1, 1, 4), draws.view(-1, 1, 1, 4), reward_of(draws))
    (policy_gradient_loss(*maps, baseline=baseline) * -4 * count).backward()
    error = own.grad.std(dim=0) / count**0.5
    assert ((own.grad.mean(dim=0) - exact).abs() < 3 * error).all()
    assert (error < 0.1 * exact.abs().max()).all()


def test_a_baseline_lowers_the_variance():
    torch.manual_seed(0)
    draws = torch.bernoulli(torch.full((5000, 1, 1, 4), 0.5))
    reward = -1 - 0.1 * draws
    spread = []
    for baseline in (0.0, reward.mean()):
        logits = torch.zeros(5000, 1, 1, 4, requires_grad=True)
        policy_gradient_loss(logits, draws, reward, baseline).backward()
        spread.append(logits.grad.std())
    assert spread[1] < 0.1 * spread[0]


def test_the_budget_loss_has_the_mean_gradient_of_its_part_of_the_reward():
    torch.manual_seed(0)
    logits = torch.randn(1, 1, 8, 8)
    share = float(logits.sigmoid().mean())  # over about half of the time
    count = 40_000
    own = logits.repeat(count, 1, 1, 1).requires_grad_()
    drawn = torch.bernoulli(own.detach().sigmoid())
    no_error = torch.zeros(count, 3, 8, 8)
    fines = sampling_reward([no_error], no_error, drawn, share)
    (policy_gradient_loss(own, drawn, fines, fines.mean()) * count).backward()
    error = own.grad.std(dim=0) / count**0.5

    logits.requires_grad_()
    budget_loss(logits, share).backward()
    # the normal distribution stands in for a sum of 64 draws
    assert ((own.grad.mean(dim=0) - logits.grad).abs() < 4 * error + 0.01 * logits.grad.max()).all()
    assert (error < 0.1 * logits.grad.max()).all()


@pytest.mark.parametrize(("logit", "fine"), [(60.0, 0.5), (-60.0, 0.0)])
def test_the_budget_loss_of_draws_that_are_sure(logit, fine):
    logits = torch.full((2, 1, 4, 4), logit, requires_grad=True)
    loss = budget_loss(logits, share=0.25)
    loss.backward()
    assert loss.item() == pytest.approx(fine / 16)
    assert logits.grad.isfinite().all()

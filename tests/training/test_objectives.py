import pytest
import torch
import torch.nn.functional as F

from unsmear.data import BlurTriple
from unsmear.layers.pixel_sampling import budget_loss, sampling_reward
from unsmear.models import create_model
from unsmear.training import LossConfig, Phase, objectives
from unsmear.training.objectives import objective_of

RESTORATION = {"ssim": 0.0, "fft": 0.0}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    sharp = torch.rand(2, 3, 32, 32, generator=generator)
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, 8:24, :16] = 1
    blurred = torch.where(mask > 0, F.avg_pool2d(sharp, 5, 1, 2), sharp)
    return BlurTriple(blurred, sharp, mask)


def judge(network, batch, *, phase=None, **loss):
    torch.manual_seed(1)
    objective = objective_of(network.train(), LossConfig(**RESTORATION, **loss))
    return objective(batch, phase or Phase(patch_size=32, batch_size=2))


@pytest.mark.parametrize(
    ("name", "decisions"),
    [
        ("lmdvit", {"pruning"}),
        ("saphn", {"policy"}),
        ("saphn-uniform", set()),
        ("dmphn", set()),
        ("dmphn-nu", {"policy"}),
        ("srn", set()),
        ("srn-nu", {"policy"}),
        ("lbag", {"gate"}),
    ],
)
def test_every_network_learns_from_its_own_terms(name, decisions, batch, little):
    network = little(name)
    out, terms = judge(network, batch)
    assert set(terms) == {"l1"} | decisions
    sum(terms.values()).backward()
    assert out.restored.isfinite().all()
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert not without
    moved = {n for n, p in network.named_parameters() if p.grad.any()}
    assert len(moved) > 0.8 * len(list(network.parameters()))


def test_earlier_pictures_count_as_much_as_they_should(batch, little):
    terms = [judge(little("srn"), batch, earlier=share)[1]["l1"] for share in (0.0, 0.5, 1.0)]
    out, _ = judge(little("srn"), batch)
    small = [F.adaptive_avg_pool2d(batch.sharp, one.shape[-2:]) for one in out.stages]
    earlier = sum((a - b).abs().mean() for a, b in zip(out.stages, small, strict=True))
    last = (out.restored - batch.sharp).abs().mean()
    for term, share in zip(terms, (0.0, 0.5, 1.0), strict=True):
        torch.testing.assert_close(term, last + share * earlier)


def test_gates_learn_the_mask(batch, little):
    out, terms = judge(little("lbag"), batch)
    sizes = [F.adaptive_avg_pool2d(batch.blur_mask, g.shape[-2:]) for g in out.stage_gates]
    wanted = [*sizes, batch.blur_mask]
    errors = [
        (gate - mask).square().mean()
        for gate, mask in zip((*out.stage_gates, out.gate), wanted, strict=True)
    ]
    torch.testing.assert_close(terms["gate"], torch.stack(errors).mean())


def test_samplers_wait_until_they_may_learn(batch, little):
    network = little("saphn")
    phase = Phase(patch_size=32, batch_size=2, samplers_learn=False)
    _, terms = judge(network, batch, phase=phase)
    assert "policy" not in terms
    terms["l1"].backward()
    samplers = [p for n, p in network.named_parameters() if "samplers." in n]
    assert samplers
    assert all(p.grad is None or not p.grad.any() for p in samplers)


def test_a_draw_that_earned_more_than_the_rest_becomes_likelier(batch, little):
    """The gradient at each pixel is the plain form's: minus reward times score, averaged."""
    network = little("saphn")
    out, terms = judge(network, batch, baseline=False)
    one = out.sampling[-1]
    one.logits.retain_grad()
    terms["policy"].backward()
    reward = sampling_reward(out.stages[1:3], batch.sharp, one.drawn, one.share)
    score = one.drawn - one.logits.detach().sigmoid()
    wanted = -reward * score / reward.numel() / len(out.sampling)
    torch.testing.assert_close(one.logits.grad, wanted)


def test_the_baseline_leaves_what_the_stage_mended(batch, little):
    network = little("saphn")
    out, terms = judge(network, batch)
    one = out.sampling[-1]
    one.logits.retain_grad()
    terms["policy"].backward()
    before, after = ((each - batch.sharp).abs().mean(1, keepdim=True) for each in out.stages[1:3])
    score = one.drawn - one.logits.detach().sigmoid()
    budget = one.logits.detach().requires_grad_()
    budget_loss(budget, one.share).backward()
    mended = -(before - after) * score / score.numel()
    torch.testing.assert_close(one.logits.grad, (mended + budget.grad) / len(out.sampling))


def test_samplers_learn_without_earlier_pictures(batch):
    torch.manual_seed(0)
    network = create_model("saphn", widths=(4, 4, 8), maps=2, progressive=False)
    _, terms = judge(network, batch)
    terms["policy"].backward()
    assert all(p.grad.any() for n, p in network.named_parameters() if "samplers." in n)


def reconstruction_reaches_predictors(mode, batch, little):
    """Run a step and tell whether what a window's restoration earned moves the predictors."""
    network = little("lmdvit")
    phase = Phase(patch_size=32, batch_size=2, decisions=mode)
    out, terms = judge(network, batch, phase=phase, pruning=1.0)
    terms["l1"].backward()
    assert terms["pruning"].requires_grad
    return any(p.grad is not None and p.grad.any() for n, p in predictors(network)), out.keep


def predictors(network):
    return ((n, p) for n, p in network.named_parameters() if "predictors." in n)


def test_pruned_windows_are_drawn_but_not_computed(batch, little):
    reaches, sampled = reconstruction_reaches_predictors("sampled", batch, little)
    assert reaches
    reaches, pruned = reconstruction_reaches_predictors("pruned", batch, little)
    assert not reaches
    assert torch.equal(sampled[0], pruned[0])  # drawn alike from the same seed
    reaches, kept = reconstruction_reaches_predictors("all", batch, little)
    assert not reaches
    assert all(one.all() for one in kept)


def test_a_mask_that_steers_is_the_blur_mask_grown_by_chance(batch, little, monkeypatch):
    network, phase = little("lmdvit"), Phase(patch_size=32, batch_size=2, decisions="mask")
    least = network(batch.blurred, decisions=batch.blur_mask).keep
    most = network(batch.blurred, decisions=F.max_pool2d(batch.blur_mask, 15, 1, 7)).keep
    monkeypatch.setattr(objectives, "LARGEST_DILATION", 7)
    objective, counts = objective_of(network, LossConfig(**RESTORATION)), set()
    for seed in range(16):
        torch.manual_seed(seed)
        kept = objective(batch, phase).out.keep
        assert all((a <= b).all() for a, b in zip(least, kept, strict=True))
        assert all((a <= b).all() for a, b in zip(kept, most, strict=True))
        counts.add(sum(int(one.sum()) for one in kept))
    assert {sum(int(one.sum()) for one in ends) for ends in (least, most)} <= counts

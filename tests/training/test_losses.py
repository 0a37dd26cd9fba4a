import pytest
import torch

from unsmear.errors import InputError
from unsmear.training.losses import LossConfig, pruning_term, reconstruction_terms

CASES = {
    "reconstruction_terms": LossConfig(),
    "reconstruction_shift_invariant_terms": LossConfig(shift_invariant=True),
    "reconstruction_weighted_terms": LossConfig(weighted=True),
}


@pytest.mark.parametrize(("key", "config"), CASES.items(), ids=CASES.keys())
def test_terms_equal_the_authors(metric_inputs, expected_metrics, key, config):
    pictures = (metric_inputs[k] for k in ("restored", "sharp", "blur_mask"))
    terms = reconstruction_terms(*pictures, config)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected_metrics[key], rel=1e-5)
    total = sum(getattr(config, name) * term for name, term in terms.items())
    if key == "reconstruction_terms":
        assert total.item() == pytest.approx(expected_metrics["reconstruction_total"], rel=1e-5)


@pytest.mark.parametrize("term", ["l1", "l2", "ssim", "fft", "inside", "psnr"])
def test_mixed_precision_takes_nothing_from_a_term(term):
    torch.manual_seed(0)
    sharp = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 9), size=48, mode="bicubic")
    restored = (sharp + 0.02 * torch.randn_like(sharp)).requires_grad_()
    config = LossConfig(**{"l1": 0, "ssim": 0, "fft": 0, term: 1})
    found = []
    for mixed in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            (value,) = reconstruction_terms(
                restored, sharp, torch.ones(1, 1, 48, 48), config
            ).values()
        found.append([value.detach(), *torch.autograd.grad(value, restored)])
    torch.testing.assert_close(*found)


def test_a_shift_of_one_pixel_costs_nothing_when_invariant():
    torch.manual_seed(0)
    sharp = torch.rand(1, 3, 32, 32)
    restored = torch.nn.functional.pad(sharp, (1, 1, 1, 1), mode="reflect")[..., 2:, 1:-1]
    mask = torch.zeros(1, 1, 32, 32)
    config = LossConfig(ssim=0, fft=0, shift_invariant=True)
    assert reconstruction_terms(restored, sharp, mask, config)["l1"].item() == pytest.approx(0)


def test_an_empty_mask_weighs_the_whole_picture():
    sharp, mask = torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    terms = reconstruction_terms(sharp + 0.5, sharp, mask, LossConfig(weighted=True, inside=1.0))
    assert terms["l1"].item() == pytest.approx(0.5)
    assert terms["inside"].item() == 0


def test_pictures_too_small_for_ssim_are_named():
    sharp, mask = torch.zeros(1, 3, 10, 32), torch.zeros(1, 1, 10, 32)
    with pytest.raises(InputError, match=r"from 11 pixels .* \(10, 32\)"):
        reconstruction_terms(sharp, sharp, mask, LossConfig())
    assert reconstruction_terms(sharp, sharp, mask, LossConfig(ssim=0))["l1"] == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_l2_and_what_is_inside_the_mask_by_hand(weighted):
    sharp, mask = torch.zeros(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    restored = sharp.clone()
    mask[0, :, :4], mask[1, :, :8] = 1, 1
    restored[0, :, :4], restored[1, :, 8:] = 0.4, 0.2  # inside and outside
    config = LossConfig(l1=0, l2=1, ssim=0, fft=0, inside=1, weighted=weighted)
    terms = {k: v.item() for k, v in reconstruction_terms(restored, sharp, mask, config).items()}
    l2 = 0.4**2 / 2 if weighted else (0.4**2 / 4 + 0.2**2 / 2) / 2
    assert terms == pytest.approx({"l2": l2, "inside": 0.4 / 2})


def test_pruning_term_is_least_where_scores_follow_the_mask():
    mask = torch.zeros(1, 1, 100, 60)
    mask[..., :40, :] = 1
    right = torch.zeros(1, 128, 128, 2)
    right[:, :40, :, 0] = 9
    right[:, 40:, :, 1] = 9
    half = torch.nn.functional.avg_pool2d(right.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    undecided = [torch.zeros_like(right), torch.zeros_like(half)]
    scales = [1, 2]
    assert pruning_term([right, half], mask, scales).item() == pytest.approx(0, abs=1e-3)
    assert pruning_term(undecided, mask, scales).item() == pytest.approx(2 * 0.6931, rel=1e-3)


@pytest.mark.parametrize("blurred", [1.0, 12.0])
def test_predictors_learn_to_keep_by_the_weight_of_blurred_tokens(blurred):
    # A fifth of what looks alike is blurred: the best score has the odds of that, times the weight.
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :2, :] = 1
    margin = torch.zeros((), requires_grad=True)
    learner = torch.optim.SGD([margin], lr=0.5 / blurred)
    for _ in range(400):
        score = torch.stack([margin, -margin]).expand(1, 10, 10, 2) / 2
        learner.zero_grad()
        pruning_term([score], mask, [1], blurred).backward()
        learner.step()
    assert margin.exp().item() == pytest.approx(blurred * 0.2 / 0.8, rel=0.01)


def test_the_psnr_term_counts_every_blurred_picture_once():
    sharp = torch.zeros(3, 3, 20, 20)
    mask = torch.zeros(3, 1, 20, 20)
    mask[0, :, :10], mask[1, :, :, 5:], mask[2, :, 0, 0] = 1, 1, 1  # the third: next to nothing
    restored = sharp + torch.tensor([0.1, 0.01, 0.5])[:, None, None, None] * mask
    terms = reconstruction_terms(restored, sharp, mask, LossConfig(psnr=1.0))
    assert terms["psnr"].item() == pytest.approx((-20 - 40) / 3, abs=0.5)
    assert "psnr" not in reconstruction_terms(restored, sharp, mask, LossConfig())

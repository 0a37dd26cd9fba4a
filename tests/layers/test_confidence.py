import pytest
import torch

from unsmear.layers.confidence import (
    ConfidencePredictor,
    decide,
    sample_decision,
    window_scores,
)


@pytest.mark.parametrize("given", [False, True])
def test_chunks_give_the_scores_of_the_whole(monkeypatch, given):
    torch.manual_seed(0)
    predictor = ConfidencePredictor(8)
    for parameter in predictor.parameters():  # norms begin at 1 and 0
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.rand(2, 16, 24, 8)
    mean = torch.rand(2, 4) if given else None
    scores, own = predictor(x, mean)
    monkeypatch.setattr("unsmear.layers.chunks.CPU_ELEMENTS", 800)
    with torch.no_grad():
        chunked, chunked_own = predictor(x, mean)
    torch.testing.assert_close(chunked, scores)
    torch.testing.assert_close(chunked_own, own)


def test_double_precision_is_kept_where_it_is_the_default():
    torch.set_default_dtype(torch.float64)  # as Lightning does for "64-true"
    try:
        predictor = ConfidencePredictor(8)
        x = torch.rand(1, 8, 8, 8)
        with torch.no_grad():
            scores, own = predictor(x)
    finally:
        torch.set_default_dtype(torch.float32)
    expected, expected_own = predictor(x)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(own, expected_own)


def test_every_image_is_judged_by_its_own_mean():
    torch.manual_seed(0)
    predictor = ConfidencePredictor(8)
    x = torch.rand(2, 8, 8, 8)
    both, _ = predictor(x)
    torch.testing.assert_close(both[1:], predictor(x[1:])[0])


def test_decisions_follow_the_mean_score_of_a_window():
    scores = torch.zeros(1, 16, 8, 2)
    scores[:, :8, :, 0] = 1.0
    means = window_scores(scores, 8, 0)
    assert decide(means, 0.5).tolist() == [[[1.0], [0.0]]]
    assert decide(means, 0.8).tolist() == [[[0.0], [0.0]]]
    assert decide(means, 0.4).tolist() == [[[1.0], [1.0]]]


def test_shifted_decisions_average_the_rolled_map():
    scores = torch.zeros(1, 8, 8, 2)
    scores[:, :, :4, 0] = 1.0
    torch.testing.assert_close(window_scores(scores, 8, 4)[0, 0, 0, 0], torch.tensor(0.5))


def test_sampled_decisions_are_hard_and_carry_a_gradient():
    torch.manual_seed(0)
    scores = torch.zeros(1, 50, 40, 2, requires_grad=True)
    drawn = sample_decision(scores)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert abs(drawn.mean().item() - 0.5) < 0.05  # equal scores: a fair coin
    (drawn * torch.rand_like(drawn)).sum().backward()
    assert scores.grad.abs().sum() > 0


def test_windows_are_drawn_with_the_confidence_that_they_are_blurred():
    torch.manual_seed(0)
    scores = torch.tensor([0.8, 0.2]).log().expand(1, 50, 80, 2).clone().requires_grad_()
    drawn = sample_decision(scores)
    assert drawn.mean().item() == pytest.approx(0.8, abs=0.02)
    drawn.sum().backward()
    assert (scores.grad[..., 0] > 0).all()  # a higher "keep" score keeps
    assert (scores.grad[..., 1] < 0).all()

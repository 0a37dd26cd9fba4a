import pytest
import torch

from unsmear import native
from unsmear.layers.confidence import ConfidencePredictor
from unsmear.layers.confidence_pieces import PredictorInPieces
from unsmear.layers.folded_predictor import fold_predictor

from .agreement import other_defaults

pytestmark = pytest.mark.skipif(
    not native.usable_levels(), reason="the native kernels are not built, or not for this machine"
)

LEVELS = native.usable_levels()
DIMS = [16, 32, 48, 64, 128, 512]


def make_predictor(dim):
    """A predictor whose scores are as large as those of a trained one."""
    torch.manual_seed(0)
    predictor = ConfidencePredictor(dim).eval()
    for name, parameter in predictor.named_parameters():
        matrix = name.endswith("weight") and parameter.ndim > 1
        torch.nn.init.normal_(parameter, std=1.5 / parameter[0].numel() ** 0.5 if matrix else 0.3)
    return predictor


@torch.no_grad()
def run_native(predictor, image, mean=None, level=None):
    return native.PackedPredictor(fold_predictor(predictor, image.dtype), level).run(image, mean)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("given", [False, True], ids=["own mean", "given mean"])
@pytest.mark.parametrize("dim", DIMS)
def test_float32_is_the_plain_predictor(dim, given, level):
    predictor = make_predictor(dim)
    image = torch.randn(56, 64, dim)
    mean = torch.randn(dim // 2) if given else None
    expected, expected_own = predictor._score(image[None], None if mean is None else mean[None])
    scores, own = run_native(predictor, image, mean, level)
    torch.testing.assert_close(scores, expected[0], atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(own, expected_own[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dim", DIMS)
@torch.no_grad()
def test_bfloat16_is_at_least_as_exact_as_in_pieces(dim, level):
    predictor = make_predictor(dim)
    for parameter in predictor.parameters():
        parameter.copy_(parameter.bfloat16())
    image = torch.randn(24, 40, dim).bfloat16()
    expected, expected_own = predictor._score(image.float()[None], None)

    def error(form):
        scores, own = form.run(image, None)
        assert own.dtype == scores.dtype == torch.float32
        return torch.stack(
            [(scores - expected[0]).square().mean(), (own - expected_own[0]).square().mean()]
        )

    folded = fold_predictor(predictor, torch.bfloat16)
    ours, pieces = error(native.PackedPredictor(folded, level)), error(PredictorInPieces(folded))
    assert (ours <= 1.1 * pieces).all()
    assert (ours < 1e-3).all()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 13), (7, 300)])
def test_any_number_of_tokens(size):
    predictor = make_predictor(32)
    image = torch.randn(*size, 32)
    expected, expected_own = predictor._score(image[None], None)
    scores, own = run_native(predictor, image)
    torch.testing.assert_close(scores, expected[0], atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(own, expected_own[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_nothing(dtype, monkeypatch):
    image = torch.randn(80, 72, 32).to(dtype)
    results = []
    for threads in (1, 2, 5, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(run_native(make_predictor(32), image))
    for scores, own in results:
        assert torch.equal(scores, results[0][0])
        assert torch.equal(own, results[0][1])


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_a_number_spoils_its_own_token(level):
    image = torch.randn(16, 16, 32)
    image[3, 5] = torch.nan
    scores, own = run_native(make_predictor(32), image, torch.zeros(16), level)
    spoilt = scores.isnan().any(dim=-1)
    assert spoilt[3, 5]
    assert spoilt.sum() == 1
    assert own.isnan().all()


def test_predictors_it_cannot_compute_are_told_apart():
    assert native.PackedPredictor.fits(fold_predictor(make_predictor(32), torch.float32))
    assert not native.PackedPredictor.fits(fold_predictor(make_predictor(24), torch.float32))
    assert not native.PackedPredictor.fits(fold_predictor(make_predictor(32), torch.float64))


def test_a_programs_defaults_do_not_matter():
    predictor, image = make_predictor(32), torch.randn(9, 11, 32)
    packed = native.PackedPredictor(fold_predictor(predictor, torch.float32))
    expected = packed.run(image, None)
    with other_defaults():
        scores = packed.run(image, None)
    assert all(map(torch.equal, scores, expected))

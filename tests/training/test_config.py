from math import inf, nan

import pytest

from unsmear.errors import InputError
from unsmear.training import LossConfig, OptimizerConfig, Phase
from unsmear.training.config import check_phases


def test_defaults_are_the_papers():
    loss = LossConfig()
    assert (loss.l1, loss.ssim, loss.fft, loss.pruning) == (1.0, 1.0, 0.1, 0.01)
    assert Phase().decisions == "sampled"
    assert Phase().aimed_share == 0.5
    assert OptimizerConfig().name == "adamw"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"until": 0.0}, "until"),
        ({"decisions": "some"}, "decisions"),
        ({"batch_size": 0}, "batch"),
        ({"patch_size": 0}, "patch"),
        ({"aimed_share": 1.5}, "aimed_share"),
        ({"aimed_share": nan}, "aimed_share"),
    ],
)
def test_a_phase_refuses_what_it_cannot_be(values, says):
    with pytest.raises(InputError, match=says):
        Phase(**values)


@pytest.mark.parametrize("ends", [[], [0.5], [0.8, 0.5, 1.0]])
def test_phases_cover_the_run(ends):
    with pytest.raises(InputError, match="rise to 1"):
        check_phases([Phase(end) for end in ends])


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(InputError, match="adamw"):
        OptimizerConfig("sgd")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": -1e-4},
        {"matrix_rate": -1e-3},
        {"predictor_rate": -1.0},
        {"weight_decay": -0.1},
        {"final_share": 1.5},
        {"ema": 2.0},
        {"ema": -0.5},
        {"learning_rate": nan},
        {"weight_decay": inf},
    ],
)
def test_an_optimizer_refuses_numbers_that_cannot_be(values):
    (name,) = values
    with pytest.raises(InputError, match=name):
        OptimizerConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"l1": -1.0},
        {"ssim": nan},
        {"policy": inf},
        {"pruning_blurred": -1.0},
        {"pruning_reach": 2.0},
    ],
)
def test_a_loss_refuses_weights_that_cannot_be(values):
    (name,) = values
    with pytest.raises(InputError, match=f"`{name}`"):
        LossConfig(**values)

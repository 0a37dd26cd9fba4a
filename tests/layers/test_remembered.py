import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from unsmear.layers.remembered import Remembered


@pytest.fixture
def layer():
    return nn.Linear(2, 2)


def sums(layer, remembered, wish=None):
    """Sum of the weights, worked out as often as `worked` says."""
    sums.worked = 0

    def make():
        sums.worked += 1
        return float(sum(p.sum() for p in layer.parameters()))

    return remembered.of(list(layer.parameters()), wish, make)


def test_nothing_is_worked_out_twice(layer):
    remembered = Remembered()
    first = sums(layer, remembered)
    assert sums.worked == 1
    assert sums(layer, remembered) == first
    assert sums.worked == 0


def trained(optimiser, layer):
    optimiser.step(lambda: layer(torch.ones(1, 2)).sum().backward())


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: nn.init.ones_(layer.bias),
        lambda layer: layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()}),
        lambda layer: setattr(layer, "weight", nn.Parameter(torch.ones(2, 2))),
        lambda layer: trained(torch.optim.SGD(layer.parameters(), 1.0), layer),
        lambda layer: trained(torch.optim.AdamW(layer.parameters(), 1.0, fused=True), layer),
    ],
    ids=["in place", "loaded", "replaced", "trained", "trained by a fused step"],
)
def test_changed_weights_are_seen(layer, change):
    remembered = Remembered()
    before = sums(layer, remembered)
    change(layer)
    assert sums(layer, remembered) != before


def test_another_wish_is_worked_out_anew(layer):
    remembered = Remembered()
    sums(layer, remembered, torch.float32)
    sums(layer, remembered, torch.bfloat16)
    assert sums.worked == 1


def test_what_torch_does_not_count_can_be_forgotten(layer):
    remembered = Remembered()
    before = sums(layer, remembered)
    layer.bias.data.add_(1)
    remembered.forget()
    assert sums(layer, remembered) != before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_remember_nothing(layer, copied):
    remembered = Remembered()
    sums(layer, remembered)
    sums(layer, copied(remembered))
    assert sums.worked == 1


def test_changes_of_weights_made_for_inference_are_seen():
    with torch.inference_mode():
        layer, remembered = nn.Linear(2, 2), Remembered()
        before = sums(layer, remembered)
        layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()})
        assert sums(layer, remembered) != before


@pytest.fixture
def restless():
    """Threads that take turns as often as Python lets them."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_threads_get_what_they_wished_whatever_others_wish_or_forget(layer):
    remembered, weights = Remembered(), list(layer.parameters())

    def wishes(wish):
        for _ in range(50_000):
            if wish == 3:
                remembered.forget()
            yield remembered.of(weights, wish % 2, lambda: wish % 2)

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda wish: set(wishes(wish)), range(4)))
    assert given == [{0}, {1}, {0}, {1}]

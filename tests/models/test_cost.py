import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from unsmear.models import create_model
from unsmear.models.cost import network_cost


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_counts_equal_what_torch_ran(small_network, share, plain_operations):
    x = torch.rand(1, 3, 256, 128)
    torch.manual_seed(0)
    with torch.no_grad():
        shapes = [keep.shape for keep in small_network(x).keep]
        keep = [(torch.rand(shape) < share).float() for shape in shapes]
        with FlopCounterMode(display=False) as counter:
            small_network(x, decisions=keep)
    shares = [[1.0, 1.0] for _ in small_network.stages]
    for (stage, shift), decision in zip(small_network.predictor_places, keep, strict=True):
        shares[stage - 1][1 if shift else 0] = float(decision.mean())
    cost = network_cost(small_network, 256, 128)
    assert cost.spent([tuple(pair) for pair in shares]) == counter.get_total_flops() // 2


def test_published_cost():
    with torch.device("meta"):
        network = create_model("lmdvit", pruned_stages=())
    assert network_cost(network, 1436, 2152).dense == pytest.approx(4.417e12, rel=1e-3)


@pytest.mark.parametrize("name", ["saphn", "saphn-uniform", "dmphn", "dmphn-nu", "srn-nu", "lbag"])
def test_networks_that_take_the_same_for_every_pixel(name, little):
    network = little(name)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, 61, 96))
    # Counted on a smaller picture, where the number of sampled pixels is rounded otherwise.
    wanted = counter.get_total_flops() / 2
    assert network_cost(network, 61, 96).dense == pytest.approx(wanted, rel=5e-3)


def test_a_budget_costs(little):
    costs = [network_cost(little("saphn"), 64, 64, budget).dense for budget in (-0.1, 0.0, 0.2)]
    assert costs == sorted(set(costs))

import copy

import torch

from unsmear.models import save_model
from unsmear.training import LossConfig, OptimizerConfig
from unsmear.training.module import Deblurring


def test_reach_scales_what_predictors_send_into_the_features(small_network, tmp_path):
    path = str(save_model(small_network, tmp_path / "net.safetensors"))
    gradients = []
    for reach in (1.0, 0.25):
        network = Deblurring(init=path, loss=LossConfig(pruning_reach=reach)).network.eval()
        network(torch.full((1, 3, 32, 32), 0.3), decisions="all").scores[0].sum().backward()
        gradients.append(copy.deepcopy(network.input_proj.weight.grad))
    torch.testing.assert_close(gradients[1], 0.25 * gradients[0])


def test_every_weight_is_in_one_group_and_predictors_have_their_own_rate(small_network, tmp_path):
    path = str(save_model(small_network, tmp_path / "net.safetensors"))
    module = Deblurring(init=path, optimizer=OptimizerConfig("muon", predictor_rate=0.5))
    groups = module._parameter_groups()
    grouped = [p for group in groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in module.network.parameters()}
    assert len(grouped) == len(set(map(id, grouped)))
    fast = {id(p) for group in groups if group.get("lr") == 0.5 for p in group["params"]}
    assert fast == {id(p) for n, p in module.network.named_parameters() if ".predictors." in n}
    assert all(p.ndim > 1 for group in groups if group.get("orthogonal") for p in group["params"])

import copy

import pytest
import torch

from unsmear.data import BlurTriple
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
    matrices = {id(p) for group in groups if group.get("orthogonal") for p in group["params"]}
    inner = ("to_q", "to_kv", "proj", "expand", "reduce")
    wanted = (*(f".{layer}.weight" for layer in inner), *(f"grow.{n}.weight" for n in range(4)))
    named = dict(module.network.named_parameters())
    assert {n for n, p in named.items() if id(p) in matrices} <= {
        n for n in named if n.endswith(wanted) or n.startswith("shrink.")
    }
    assert id(module.network.bottleneck.blocks[0].attention.to_q.weight) in matrices


def test_biases_and_norms_do_not_decay(small_network, tmp_path):
    path = str(save_model(small_network, tmp_path / "net.safetensors"))
    module = Deblurring(init=path, optimizer=OptimizerConfig(weight_decay=0.3))
    decay = {
        id(p): group["weight_decay"]
        for group in module.configure_optimizers()["optimizer"].param_groups
        for p in group["params"]
    }
    for name, p in module.network.named_parameters():
        if ".predictors." not in name:
            assert decay[id(p)] == (0.3 if p.ndim > 1 else 0.0), name


def test_the_rate_rises_and_follows_a_cosine(small_network, tmp_path):
    path = str(save_model(small_network, tmp_path / "net.safetensors"))
    config = OptimizerConfig(learning_rate=2.0, warmup_steps=4, final_share=0.1)
    module = Deblurring(init=path, optimizer=config)
    made = module.configure_optimizers()
    (rate,) = {id(f): f for f in made["lr_scheduler"]["scheduler"].lr_lambdas}.values()
    assert [rate(step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    for progress, share in ((0.0, 1.0), (0.5, 0.55), (1.0, 0.1)):
        module.progress = progress
        assert rate(100) == pytest.approx(share)
    assert {group["initial_lr"] for group in made["optimizer"].param_groups} == {2.0}


def test_a_pair_without_blur_leaves_validation_a_number(small_network, tmp_path):
    module = Deblurring(init=str(save_model(small_network, tmp_path / "net.safetensors"))).eval()
    picture = torch.rand(1, 3, 32, 32)
    module.on_validation_epoch_start()
    for mask in (torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)):
        module.validation_step(BlurTriple(picture, picture, mask), batch_idx=9)
    gains = [gain for kind in module._gains.values() for gain in kind]
    assert len(gains) == 3
    assert torch.stack(gains).isfinite().all()

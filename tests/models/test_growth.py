"""A deeper LMD-ViT that starts where a shallower one stopped."""

import dataclasses

import pytest
import torch

from unsmear.errors import ModelError
from unsmear.models import load_model, save_model
from unsmear.models.lmdvit import LMDViT, LMDViTConfig

SHALLOW = LMDViTConfig(
    embed_dim=8, depths=(1, 2, 1, 1, 1, 1, 2, 1, 1), num_heads=(1,) * 9, pruned_stages=(3, 7, 9)
)
DEEPER = {"depths": (1, 3, 4, 1, 2, 1, 5, 2, 1)}


@pytest.fixture
def shallow(tmp_path):
    torch.manual_seed(0)
    network = LMDViT(SHALLOW).eval()
    return network, save_model(network, tmp_path / "shallow.safetensors")


def test_a_grown_network_restores_as_the_one_it_grew_from(shallow):
    network, path = shallow
    grown = load_model(path, grow=True, **DEEPER)
    assert grown.config == dataclasses.replace(SHALLOW, **DEEPER)
    blurred = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(
            grown(blurred, decisions="all").restored, network(blurred, decisions="all").restored
        )


def test_new_blocks_copy_those_of_their_shift_and_learn_from_the_first_step(shallow):
    _, path = shallow
    grown = load_model(path, grow=True, **DEEPER).train()
    blocks = grown.decoder[1].blocks
    for new, old in ((2, 0), (3, 1), (4, 0)):
        assert torch.equal(blocks[new].attention.to_q.weight, blocks[old].attention.to_q.weight)
        assert torch.equal(blocks[new].modulator, blocks[old].modulator)
    grown(torch.rand(1, 3, 128, 128), decisions="all").restored.square().sum().backward()
    for block in (*blocks[2:], grown.encoder[2].blocks[1], grown.bottleneck.blocks[1]):
        assert block.attention.proj.weight.grad.any()
        assert block.feed_forward.reduce.weight.grad.any()


def test_a_second_predictor_copies_the_first_and_one_of_an_unpruned_stage_begins_fresh(shallow):
    _, path = shallow
    grown = load_model(path, grow=True, **DEEPER, pruned_stages=(2, 3, 7, 9))
    first, second = (p.state_dict() for p in grown.encoder[2].predictors)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(grown.encoder[1].predictors) == 2


def test_other_sizes_do_not_grow(shallow):
    _, path = shallow
    with pytest.raises(ModelError, match="do not fit"):
        load_model(path, grow=True, embed_dim=16)
    with pytest.raises(ModelError, match="do not fit"):
        load_model(path, **DEEPER)

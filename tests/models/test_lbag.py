import pytest
import torch
import torch.nn.functional as F

from unsmear.errors import InputError, ModelError
from unsmear.models.lbag import LBAG, FeatureAttention, LBAGConfig


def small(**sizes):
    torch.manual_seed(0)
    return LBAG(LBAGConfig(**{"embed_dim": 4, "blocks": 1, **sizes})).eval()


def test_parameter_count_is_the_published_one():
    with torch.device("meta"):
        count = sum(p.numel() for p in LBAG().parameters())
    assert count == 16_109_670  # printed as 16.11 M


@pytest.mark.parametrize("size", [(1, 1), (1, 19), (17, 15), (32, 24)])
def test_three_sizes_come_back_for_any_size(size):
    with torch.no_grad():
        out = small()(torch.rand(2, 3, *size))
    assert out.restored.shape == (2, 3, *size)
    assert out.gate.shape == (2, 1, *size)
    for stage, gate, factor in zip(out.stages, out.stage_gates, (4, 2), strict=True):
        sides = tuple(-(-side // factor) for side in size)
        assert stage.shape == (2, 3, *sides)
        assert gate.shape == (2, 1, *sides)


def test_outputs_are_the_picture_and_a_gated_residual_in_every_size():
    network, picture = small(), torch.rand(1, 3, 16, 16)
    logits = (-1.0, 0.0, 2.0)
    with torch.no_grad():
        for conv, logit in zip(network.output_proj, logits, strict=True):
            conv.weight.zero_()
            conv.bias.copy_(torch.tensor([0.5, 0.5, 0.5, logit]))
        out = network(picture)
    results = [*out.stages, out.restored]
    for result, gate, logit, factor in zip(
        results, [*out.stage_gates, out.gate], logits, (0.25, 0.5, 1.0), strict=True
    ):
        wanted = torch.tensor(logit).sigmoid()
        torch.testing.assert_close(gate, wanted.expand_as(gate))
        image = F.interpolate(picture, scale_factor=factor)
        torch.testing.assert_close(result, image + 0.5 * wanted)


def test_gates_stay_above_the_lowest():
    network = small(lowest_gate=0.3)
    with torch.no_grad():
        for conv in network.output_proj:
            conv.bias[3] = -20.0
        out = network(torch.rand(1, 3, 8, 8))
    assert all((gate == 0.3).all() for gate in (out.gate, *out.stage_gates))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_picture_enters_in_every_size(factor):
    """A change that only one of the three pictures can show changes the result."""
    network, seen = small(), []
    entrance = {1: network.input_proj, 2: network.shallow[0], 4: network.shallow[1]}[factor]
    entrance.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        before = network(picture).restored
        entrance.register_forward_hook(lambda _module, _inputs, out: out + 1.0)
        after = network(picture).restored
    torch.testing.assert_close(seen[0], picture[..., ::factor, ::factor])
    assert not torch.equal(before, after)


def test_shallow_features_weigh_the_encoders():
    attend = FeatureAttention(2)
    features, shallow = torch.rand(2, 1, 2, 4, 4)
    with torch.no_grad():
        torch.nn.init.dirac_(attend.merge.weight)
        attend.merge.bias.zero_()
        torch.testing.assert_close(attend(features, shallow), features + features * shallow)


def test_images_of_a_batch_do_not_see_each_other():
    network, pictures = small(), torch.rand(3, 3, 20, 24)
    with torch.no_grad():
        together = network(pictures).restored
        alone = torch.cat([network(picture[None]).restored for picture in pictures])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_gradients_reach_every_parameter():
    network = small(blocks=2, dropout=0.0, lowest_gate=0.0).train()
    out = network(torch.rand(2, 3, 16, 16))
    sum(picture.square().mean() for picture in (*out.stages, out.restored)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_dropout_belongs_to_training_only():
    network, picture = small(dropout=0.5), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(network(picture).restored, network(picture).restored)
        network.train()
        assert not torch.equal(network(picture).restored, network(picture).restored)


def test_type_of_the_picture_comes_back():
    with torch.no_grad():
        out = small().bfloat16()(torch.rand(1, 3, 16, 16))
    assert out.restored.dtype == out.gate.dtype == torch.float32


def test_other_tensors_are_refused():
    with pytest.raises(InputError):
        small()(torch.rand(3, 16, 16))


@pytest.mark.parametrize(
    "sizes", [{"embed_dim": 5}, {"blocks": 0}, {"lowest_gate": 1.0}, {"dropout": -0.1}]
)
def test_sizes_are_checked_at_birth(sizes):
    with pytest.raises(ModelError):
        LBAGConfig(**sizes)

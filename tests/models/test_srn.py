import itertools

import pytest
import torch
import torch.nn.functional as F

from unsmear.errors import InputError, ModelError
from unsmear.layers.conv_lstm import Memory
from unsmear.layers.pixel_sampling import Selection
from unsmear.models.srn import SRN, SRNConfig


def small(**sizes):
    torch.manual_seed(0)
    return SRN(SRNConfig(**{"embed_dim": 2, "blocks": 1, **sizes})).eval()


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("scales", [1, 3, 4])
def test_scales_share_all_weights(scales):
    with torch.device("meta"):
        network = SRN(SRNConfig(scales=scales))
    residual = sum(6 * 2 * (25 * dim * dim + dim) for dim in (32, 64, 128))
    down = (25 * 6 + 1) * 32 + (25 * 32 + 1) * 64 + (25 * 64 + 1) * 128
    up = (16 * 128 + 1) * 64 + (16 * 64 + 1) * 32 + (25 * 32 + 1) * 3
    memory = (9 * 256 + 1) * 512
    assert parameters(network) == residual + down + up + memory == 8_061_411


@pytest.mark.parametrize(("scales", "factors"), [(1, []), (2, [2]), (3, [4, 2])])
def test_every_scale_hands_out_its_picture(scales, factors):
    with torch.no_grad():
        out = small(scales=scales)(torch.rand(2, 3, 32, 48))
    assert out.restored.shape == (2, 3, 32, 48)
    assert [tuple(stage.shape[2:]) for stage in out.stages] == [(32 // f, 48 // f) for f in factors]


@pytest.mark.parametrize("size", [(1, 1), (1, 19), (17, 15), (33, 5)])
def test_any_size_comes_back_in_its_size(size):
    with torch.no_grad():
        out = small()(torch.rand(1, 3, *size))
    assert out.restored.shape == (1, 3, *size)
    for stage, factor in zip(out.stages, (4, 2), strict=True):
        assert stage.shape[2:] == tuple(-(-side // factor) for side in size)
    assert out.restored.isfinite().all()


def test_images_of_a_batch_do_not_see_each_other():
    network, pictures = small(), torch.rand(3, 3, 20, 24)
    with torch.no_grad():
        together = network(pictures).restored
        alone = torch.cat([network(picture[None]).restored for picture in pictures])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_the_first_scale_is_a_network_of_one_scale_on_the_small_picture():
    network, picture = small(), torch.rand(1, 3, 32, 32)
    one = small(scales=1)
    one.load_state_dict(network.state_dict())
    with torch.no_grad():
        first = network(picture).stages[0]
        torch.testing.assert_close(first, one(F.avg_pool2d(picture, 4)).restored)


def test_later_scales_see_the_blurred_picture_beside_the_coarser_result():
    network, picture = small(), torch.rand(1, 3, 32, 32)
    seen = []
    network.encoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    with torch.no_grad():
        out = network(picture)
    torch.testing.assert_close(seen[0][:, 3:], seen[0][:, :3])
    torch.testing.assert_close(seen[2][:, :3], picture)
    wanted = F.interpolate(out.stages[1], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(seen[2][:, 3:], wanted)


def test_memory_runs_from_scale_to_scale():
    network, picture = small(), torch.rand(1, 3, 32, 32)
    torch.nn.init.normal_(network.memory.gates.weight, std=0.5)
    given = []
    network.memory.register_forward_hook(lambda _, inputs, out: given.append((inputs[1], out[1])))
    with torch.no_grad():
        network(picture)
    assert given[0][0] is None
    for (_, left), (taken, _) in itertools.pairwise(given):
        for before, after in zip(left, taken, strict=True):
            torch.testing.assert_close(
                after, F.interpolate(before, scale_factor=2, mode="bilinear")
            )


def test_gradients_reach_every_parameter_through_the_last_scale_alone():
    network = small().train()
    network(torch.rand(1, 3, 16, 16)).restored.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_no_gradient_runs_back_through_a_picture():
    network, made = small(scales=2).train(), []
    last = network.output_proj[-1]
    last.register_forward_hook(lambda _module, _inputs, out: made.append(out))
    restored = network(torch.rand(1, 3, 16, 16)).restored.sum()
    through_picture, own = torch.autograd.grad(restored, made, allow_unused=True)
    assert through_picture is None
    assert own is not None


def test_type_of_the_picture_comes_back():
    with torch.no_grad():
        out = small().bfloat16()(torch.rand(1, 3, 16, 16))
    assert out.restored.dtype == out.stages[0].dtype == torch.float32


@pytest.mark.parametrize("sampling", [False, True])
def test_pictures_are_not_rounded_in_bfloat16(sampling):
    with torch.no_grad():
        out = small(sampling=sampling).bfloat16()(torch.rand(1, 3, 32, 32))
    for picture in out.supervised:
        assert not torch.equal(picture, picture.bfloat16().float())


def test_other_tensors_are_refused():
    with pytest.raises(InputError):
        small()(torch.rand(3, 16, 16))


@pytest.mark.parametrize(
    "sizes",
    [
        {"embed_dim": 0},
        {"blocks": 0},
        {"kernel_size": 4},
        {"scales": 0},
        {"scales": 1, "sampling": True},
    ],
)
def test_sizes_are_checked_at_birth(sizes):
    with pytest.raises(ModelError):
        SRNConfig(**sizes)


def test_the_smallest_scale_samples_nothing_and_shares_its_weights():
    uniform, sampled, picture = small(), small(sampling=True), torch.rand(1, 3, 32, 32)
    others = sampled.load_state_dict(uniform.state_dict(), strict=False)
    assert others.unexpected_keys == []
    assert {key.split(".")[0] for key in others.missing_keys} == {"bridges", "samplers"}
    with torch.no_grad():
        first, second = sampled(picture).stages
        wanted = uniform(picture).stages
    assert torch.equal(first, wanted[0])
    assert (second - wanted[1]).abs().max() > 1e-4


def test_memory_is_renewed_where_pixels_are_sampled():
    network, index = small(sampling=True), torch.tensor([[3, 9, 22]])
    torch.nn.init.normal_(network.memory.gates.weight, std=0.5)
    x, *before = torch.randn(3, 1, 8, 4, 6)
    with torch.no_grad():
        hidden, after = network.memory(x, Memory(*before), Selection(index, None, 4, 6))
        _, everywhere = network.memory(x, Memory(*before))
    assert hidden is after.hidden
    for old, new, whole in zip(before, after, everywhere, strict=True):
        expected = old.flatten(2).scatter(
            2, index[:, None].expand(-1, 8, -1), whole.flatten(2)[..., index[0]]
        )
        torch.testing.assert_close(new.flatten(2), expected, atol=1e-5, rtol=0)

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from unsmear.errors import InputError, ModelError
from unsmear.layers.pixel_sampling import Selection, gather_pixels, selection_of
from unsmear.models.dmphn import DMPHN, DMPHNConfig, SampledScale, regroup, regroup_selection
from unsmear.models.dmphn_released import to_released


def small(**sizes):
    torch.manual_seed(0)
    return DMPHN(DMPHNConfig(**{"embed_dim": 2, **sizes})).eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts():
    with torch.device("meta"):
        network = DMPHN()
    assert len(network.levels) == 4
    for level in network.levels:
        assert parameters(level.encoder) == 868_288
        assert parameters(level.decoder) == 939_843
    assert parameters(network) == 4 * (868_288 + 939_843)


def test_multiply_adds_of_a_level():
    with torch.device("meta"), FlopCounterMode(display=False) as counted:
        DMPHN()(torch.empty(1, 3, 256, 256))
    assert counted.get_total_flops() / 2 / 4 == pytest.approx(16.3e9, rel=0.005)


class Plain:
    """The forward pass once more, patch by patch, over weights under the released names."""

    def __init__(self, network):
        self.files = to_released(network.state_dict())

    def residual(self, x, file, layer):
        inner = F.conv2d(x, file[f"layer{layer}.0.weight"], file[f"layer{layer}.0.bias"], padding=1)
        return x + F.conv2d(
            F.relu(inner), file[f"layer{layer}.2.weight"], file[f"layer{layer}.2.bias"], padding=1
        )

    def encode(self, x, level):
        file = self.files[f"encoder_lv{level}.pkl"]
        for first, stride in ((1, 1), (5, 2), (9, 2)):
            weight, bias = file[f"layer{first}.weight"], file[f"layer{first}.bias"]
            x = F.conv2d(x, weight, bias, stride=stride, padding=1)
            x = self.residual(self.residual(x, file, first + 1), file, first + 2)
        return x

    def decode(self, x, level):
        file = self.files[f"decoder_lv{level}.pkl"]
        for first in (13, 17, 21):
            x = self.residual(self.residual(x, file, first), file, first + 1)
            weight, bias = file[f"layer{first + 3}.weight"], file[f"layer{first + 3}.bias"]
            if first == 21:
                x = F.conv2d(x, weight, bias, padding=1)
            else:
                x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
        return x

    def __call__(self, picture):
        image = picture - 0.5
        halves = image.chunk(2, dim=2)  # upper, lower
        quadrants = [half.chunk(2, dim=3) for half in halves]  # left and right of each
        # Level 4: every quadrant as an upper and a lower patch.
        features4 = [
            [torch.cat([self.encode(p, 4) for p in q.chunk(2, dim=2)], dim=2) for q in row]
            for row in quadrants
        ]
        # Level 3: the quadrants, each with its residual from level 4.
        features3 = []
        for row, below in zip(quadrants, features4, strict=True):
            own = [
                self.encode(q + self.decode(f, 4), 3) + f for q, f in zip(row, below, strict=True)
            ]
            features3.append(torch.cat(own, dim=3))
        # Level 2: upper and lower half.
        features2 = torch.cat(
            [
                self.encode(half + self.decode(f, 3), 2) + f
                for half, f in zip(halves, features3, strict=True)
            ],
            dim=2,
        )
        # Level 1: the whole.
        features1 = self.encode(image + self.decode(features2, 2), 1) + features2
        return self.decode(features1, 1) + 0.5


@pytest.mark.parametrize("size", [(16, 16), (48, 32)])
def test_agrees_with_a_plain_recomputation(size):
    network, picture = small(embed_dim=4), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = network(picture).restored
        torch.testing.assert_close(restored, Plain(network)(picture), atol=1e-5, rtol=0)
    assert (restored - 0.5).abs().max() > 0.01  # the weights did something


@pytest.mark.parametrize("size", [(1, 1), (1, 19), (17, 15), (33, 5)])
def test_any_size_comes_back_in_its_size(size):
    with torch.no_grad():
        out = small()(torch.rand(1, 3, *size))
    assert out.restored.shape == (1, 3, *size)
    assert [stage.shape for stage in out.stages] == [(1, 3, *size)] * 3
    assert out.restored.isfinite().all()


def test_images_of_a_batch_do_not_see_each_other():
    network, pictures = small(), torch.rand(3, 3, 20, 24)
    with torch.no_grad():
        together = network(pictures).restored
        alone = torch.cat([network(picture[None]).restored for picture in pictures])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_stages_are_what_the_levels_hand_on():
    network, picture = small(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        for level in network.levels[1:]:
            level.decoder[-1].weight.zero_()
            level.decoder[-1].bias.fill_(0.25)
        stages = network(picture).stages
    for stage in stages:
        torch.testing.assert_close(stage, picture + 0.25)


@pytest.mark.parametrize(("levels", "step"), [(1, 4), (2, 8), (3, 8), (4, 16)])
def test_fewer_levels(levels, step):
    network = small(levels=levels)
    assert network.size_step == step
    with torch.no_grad():
        out = network(torch.rand(1, 3, 9, 9))
    assert out.restored.shape == (1, 3, 9, 9)
    assert len(out.stages) == levels - 1


def test_gradients_reach_every_parameter():
    network = small().train()
    network(torch.rand(1, 3, 16, 16)).restored.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_type_of_the_picture_comes_back():
    with torch.no_grad():
        out = small().bfloat16()(torch.rand(1, 3, 16, 16))
    assert out.restored.dtype == torch.float32


@pytest.mark.parametrize("sampling", [False, True])
def test_pictures_are_not_rounded_in_bfloat16(sampling):
    with torch.no_grad():
        out = small(sampling=sampling).bfloat16()(torch.rand(1, 3, 32, 32))
    for picture in out.supervised:
        assert not torch.equal(picture - 0.5, (picture - 0.5).bfloat16().float())


@pytest.mark.parametrize(
    "picture",
    [torch.rand(3, 16, 16), torch.rand(1, 4, 16, 16), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)],
)
def test_other_tensors_are_refused(picture):
    with pytest.raises(InputError):
        small()(picture)


@pytest.mark.parametrize(
    "sizes", [{"embed_dim": 0}, {"levels": 0}, {"levels": 5}, {"levels": 1, "sampling": True}]
)
def test_sizes_are_checked_at_birth(sizes):
    with pytest.raises(ModelError):
        DMPHNConfig(**sizes)


def test_the_bottom_level_samples_nothing():
    uniform, sampled = small(), small(sampling=True)
    sampled.levels[3].load_state_dict(uniform.levels[3].state_dict())
    picture = torch.rand(1, 3, 16, 32)
    with torch.no_grad():
        assert torch.equal(sampled(picture).stages[0], uniform(picture).stages[0])


def test_sampled_levels_add_to_what_they_were_given():
    network, picture = small(sampling=True), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        for level in network.levels[1:]:
            level.decoder[-1].weight.zero_()
            level.decoder[-1].bias.fill_(0.25)
        stages = network(picture).stages
    for number, stage in enumerate(stages, start=1):
        torch.testing.assert_close(stage, picture + 0.25 * number)


def test_pixels_that_are_not_sampled_are_only_widened():
    torch.manual_seed(0)
    scale, x = SampledScale(2, 4), torch.randn(1, 2, 6, 8)
    index = torch.tensor([[3, 17, 40]])
    with torch.no_grad():
        found, widened = scale.encode(x, Selection(index, None, 6, 8)), scale.bridge.widen(x)
    changed = (found != widened).any(dim=1).flatten().nonzero().flatten()
    assert changed.tolist() == index[0].tolist()


@pytest.mark.parametrize(
    ("before", "after"), [((2, 2), (2, 1)), ((2, 1), (1, 1)), ((4, 2), (2, 2))]
)
def test_a_selection_follows_its_pixels_into_larger_patches(before, after):
    torch.manual_seed(0)
    patches = 2 * before[0] * before[1]  # of two pictures
    x = torch.arange(patches * 15).view(patches, 1, 3, 5)
    drawn = torch.rand(patches, 1, 3, 5).round()
    selection = selection_of(drawn)
    moved = regroup_selection(selection, before, after)
    assert torch.equal(moved.index, moved.index.sort(dim=1).values)
    found = gather_pixels(regroup(x, before, after), moved)[:, 0][moved.valid]
    assert sorted(found.tolist()) == sorted(x[drawn > 0].tolist())

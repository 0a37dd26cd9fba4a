import pytest
import torch

from unsmear.explain.content_aware import (
    Given,
    collecting_maps,
    horizontal_offset,
    kernel_variance,
    spatial_mask,
)
from unsmear.layers.content_aware import ContentAware
from unsmear.layers.pixel_sampling import Selection, gather_pixels


def given(selection=None, grid=1):
    torch.manual_seed(0)
    x = torch.rand(2, 4, 6, 8)
    uniform = torch.nn.functional.avg_pool2d(x, grid)
    return Given(x, gather_pixels(x, selection), uniform, selection)


def sampled():
    return Selection(torch.tensor([[0, 9, 47], [3, 20, 21]]), None, 6, 8)


@torch.no_grad()
def test_the_mask_is_what_weighs_the_information():
    content, seen = ContentAware(4, 3), given(grid=2)
    mask = spatial_mask(content, seen)
    conv = content.self_attention.pixel_mask
    logits = torch.einsum("oc,bchw->bohw", conv.weight[..., 0], seen.uniform) + conv.bias
    torch.testing.assert_close(mask, logits.sigmoid())
    assert mask.shape == (2, 1, 3, 4)


@pytest.mark.parametrize("activation", ["softmax", "elu"])
@torch.no_grad()
def test_attention_maps_are_one_on_average(activation):
    maps = collecting_maps(ContentAware(4, 3, activation=activation), given(grid=2))
    assert maps.shape == (2, 3, 3, 4)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.mean(dim=(2, 3)), torch.ones(2, 3))
    assert maps.std() > 0


@torch.no_grad()
def test_fresh_kernels_do_not_vary():
    content = ContentAware(4, 3)
    assert torch.equal(kernel_variance(content, given()), torch.zeros(2, 1, 6, 8))
    content.filter.kernel_head.bias.copy_(torch.arange(25.0))
    variance = kernel_variance(content, given())
    torch.testing.assert_close(variance, torch.full((2, 1, 6, 8), 52.0))  # (25^2 - 1) / 12


@torch.no_grad()
def test_offsets_are_horizontal_and_in_pixels():
    content = ContentAware(4, 3, max_offset=4.0)
    assert torch.equal(horizontal_offset(content, given()), torch.zeros(2, 1, 6, 8))
    across = torch.tensor([0.5, -0.5] * 12 + [0.5])
    down = torch.full((25,), 3.0)
    content.filter.offset_head.bias.copy_(torch.stack([across, down], dim=1).flatten())
    wanted = 4 * torch.tensor(0.5).tanh()
    torch.testing.assert_close(
        horizontal_offset(content, given()), wanted.expand(2, 1, 6, 8).contiguous()
    )


@pytest.mark.parametrize("look", [horizontal_offset, kernel_variance])
@torch.no_grad()
def test_sampled_pixels_go_back_to_their_places(look):
    content, selection = ContentAware(4, 3), sampled()
    for head in (content.filter.kernel_head, content.filter.offset_head):
        torch.nn.init.normal_(head.weight)
    everywhere, some = look(content, given()), look(content, given(selection))
    known = torch.zeros(2, 48).scatter(1, selection.index, 1.0).bool().view(2, 1, 6, 8)
    assert torch.equal(some.isnan(), ~known)
    torch.testing.assert_close(some[known], everywhere[known])


@torch.no_grad()
def test_parts_that_are_not_there_are_not_seen():
    bare = ContentAware(4, 3, self_attention=False, kernels=False, offsets=False)
    for look in (spatial_mask, collecting_maps, horizontal_offset, kernel_variance):
        assert look(bare, given()) is None
    assert spatial_mask(ContentAware(4, 3, masks=False), given()) is None

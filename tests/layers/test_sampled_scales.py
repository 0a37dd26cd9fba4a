import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unsmear.layers.pixel_sampling import Selection, gather_pixels, put_back
from unsmear.layers.sampled_scales import ScaleBridge, convolve_pixels

CHOSEN = torch.tensor([[1, 8, 13, 29], [0, 5, 6, 34]])  # of 5 x 7 pixels


def chosen(valid=None):
    return Selection(CHOSEN, valid, 5, 7)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_a_convolution_at_some_pixels_is_the_convolution_there(kernel_size):
    conv, x = nn.Conv2d(3, 4, kernel_size, stride=2), torch.randn(2, 3, 5, 7)
    everywhere = F.conv2d(x, conv.weight, conv.bias, padding=kernel_size // 2)
    wanted = gather_pixels(everywhere, chosen())
    torch.testing.assert_close(convolve_pixels(conv, x, chosen()), wanted, atol=1e-5, rtol=1e-5)


def test_down_is_the_strided_convolution_where_the_pixels_are_the_strided_grid():
    bridge, conv = ScaleBridge(3, 6), nn.Conv2d(3, 6, 3, stride=2, padding=1)
    x, grid = torch.randn(1, 3, 6, 8), torch.zeros(6, 8)
    grid[::2, ::2] = 1
    selection = Selection(grid.flatten().nonzero().T, None, 6, 8)
    found = bridge.descend(x, conv, selection)
    torch.testing.assert_close(found[:, :, ::2, ::2], conv(x), atol=1e-5, rtol=1e-5)
    rest = grid == 0
    assert torch.equal(found[..., rest], bridge.widen(x)[..., rest])


def test_up_the_sampled_pixels_are_put_among_the_encoder_s_features():
    bridge, x, skip = ScaleBridge(3, 6), torch.randn(2, 6, 5, 7), torch.randn(2, 3, 5, 7)
    pixels = bridge.refined(x, chosen())
    torch.testing.assert_close(
        pixels,
        gather_pixels(F.conv2d(x, bridge.narrow.weight[..., None], bridge.narrow.bias), chosen()),
    )
    with torch.no_grad():  # nothing but the way through is left
        bridge.merge.weight.copy_(torch.eye(3)[..., None, None])
        bridge.merge.bias.zero_()
    torch.testing.assert_close(
        bridge.ascend(pixels, skip, chosen()), put_back(pixels, skip, chosen())
    )


def test_pixels_that_only_fill_up_are_not_worked_on():
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    bridge, conv, x = ScaleBridge(3, 6), nn.Conv2d(3, 6, 3), torch.randn(2, 3, 5, 7)
    with_fillers = bridge.descend(x, conv, chosen(valid))
    alone = bridge.descend(x[1:], conv, Selection(CHOSEN[1:, :2], None, 5, 7))
    torch.testing.assert_close(with_fillers[1:], alone)

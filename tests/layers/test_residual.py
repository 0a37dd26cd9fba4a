import torch
import torch.nn.functional as F
from torch import nn

from unsmear.layers.pixel_sampling import Selection
from unsmear.layers.residual import ResidualBlock, run_blocks


def block_and_map():
    torch.manual_seed(0)
    return ResidualBlock(4, kernel_size=3), torch.randn(2, 4, 5, 7)


def test_every_pixel_sampled_in_any_order_is_the_whole_map():
    block, x = block_and_map()
    index = torch.stack([torch.randperm(35) for _ in range(2)])
    torch.testing.assert_close(block(x, Selection(index, None, 5, 7)), block(x), atol=1e-5, rtol=0)


def test_sampled_pixels_see_all_neighbours_first_and_sampled_ones_then():
    block, x = block_and_map()
    index = torch.tensor([[8, 9, 30], [2, 20, 21]])
    mask = torch.zeros(2, 1, 35).scatter(2, index[:, None], 1.0).view(2, 1, 5, 7)
    first, _, last = block
    hidden = mask * F.relu(F.conv2d(x, first.weight, first.bias, padding=1))
    wanted = x + mask * F.conv2d(hidden, last.weight, last.bias, padding=1)
    found = block(x, Selection(index, None, 5, 7))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert torch.equal(found[(mask == 0).expand_as(x)], x[(mask == 0).expand_as(x)])
    assert (found != x).any()


def test_pixels_that_only_fill_up_stay_and_are_not_seen():
    block, x = block_and_map()
    index = torch.tensor([[8, 9, 30]])
    filled = Selection(index, torch.tensor([[True, False, True]]), 5, 7)
    alone = Selection(index[:, [0, 2]], None, 5, 7)
    torch.testing.assert_close(block(x[:1], filled), block(x[:1], alone))


def test_blocks_run_one_after_the_other_on_the_same_pixels():
    block, x = block_and_map()
    selection = Selection(torch.tensor([[3, 4], [11, 12]]), None, 5, 7)
    blocks = nn.ModuleList([block, block])
    assert torch.equal(run_blocks(blocks, x, selection), block(block(x, selection), selection))
    assert torch.equal(run_blocks(blocks, x), block(block(x)))

import pytest
import torch

from unsmear.layers.patches import join_patches, split_patches


@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (2, 2), (4, 2)])
def test_join_undoes_split(grid):
    x = torch.rand(3, 5, 8, 12)
    patches = split_patches(x, *grid)
    assert patches.shape == (3 * grid[0] * grid[1], 5, 8 // grid[0], 12 // grid[1])
    assert torch.equal(join_patches(patches, *grid), x)


def test_patches_run_row_by_row_within_each_image():
    x = torch.rand(2, 1, 4, 6)
    patches = split_patches(x, 2, 2)
    assert torch.equal(patches[0], x[0, :, :2, :3])
    assert torch.equal(patches[1], x[0, :, :2, 3:])
    assert torch.equal(patches[2], x[0, :, 2:, :3])
    assert torch.equal(patches[7], x[1, :, 2:, 3:])


def test_patches_of_another_size_join_too():
    patches = split_patches(torch.rand(1, 2, 8, 8), 4, 2)[..., ::2, ::4]
    assert join_patches(patches, 4, 2).shape == (1, 2, 4, 2)

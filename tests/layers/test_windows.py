import pytest
import torch

from unsmear.layers.windows import (
    SEPARATED,
    WindowGrid,
    merge_windows,
    partition_windows,
    seam_masks,
)


@pytest.mark.parametrize("shift", [0, 2, 4])
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (8, 40)])
def test_merge_undoes_partition(size, shift):
    features = torch.rand(2, *size, 3)
    windows = partition_windows(features, 8, shift)
    assert windows.shape == (2 * size[0] * size[1] // 64, 64, 3)
    assert torch.equal(merge_windows(windows, *size, shift), features)


@pytest.mark.parametrize("shift", [0, 4])
def test_token_index_gathers_the_windows_of_the_partition(shift):
    features = torch.rand(2, 16, 24, 3)
    grid = WindowGrid(16, 24, 8, shift)
    numbers = torch.tensor([0, 5, 6, 11])
    gathered = features.reshape(-1, 3)[grid.token_index(numbers)]
    assert torch.equal(gathered, partition_windows(features, 8, shift)[numbers])


def test_seam_masks_separate_what_the_roll_joined():
    """Against the definition: tokens attend only to tokens from the same side of both seams."""
    h = w = 16
    shift, m = 4, 8
    rows = (torch.arange(h) < shift).long()  # rolled to the far side
    region = 2 * rows[:, None] + rows[None, :]
    windows = partition_windows(region[None, :, :, None], m, shift)[..., 0]
    wanted = (windows[:, :, None] != windows[:, None, :]) * SEPARATED
    grid = WindowGrid(h, w, m, shift)
    masks = seam_masks(m, shift)[grid.seam_kind(torch.arange(grid.windows))]
    assert torch.equal(masks, wanted)

"""RealBlur's alignment: it undoes a change of exposure and of pose, and says where it cannot."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from unsmear.data.alignment import align_restored


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """[H, W, 3] smooth float32 texture in [0.2, 0.8], larger than what is looked at."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.2, 0.8, (20, 24, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (192, 160), interpolation=cv2.INTER_CUBIC))


def view(scene: np.ndarray, right: float, down: float) -> torch.Tensor:
    """A [3, 120, 144] view, its corner so far inside the scene."""
    pose = np.array([[1, 0, right], [0, 1, down]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    picture = cv2.warpAffine(scene, pose, (144, 120), flags=flags)
    return torch.from_numpy(np.asarray(picture)).permute(2, 0, 1)


def test_exposure_and_pose_are_undone(scene: np.ndarray) -> None:
    sharp, moved = view(scene, 20, 18), view(scene, 22.6, 16.8) * 0.8
    aligned = align_restored(moved, sharp)
    before = (moved - sharp).abs().mean()
    # The protocol matches the light before the pose, so that a little of both stays.
    inner = np.s_[:, 8:-8, 8:-8]
    after = (aligned.restored - aligned.sharp)[inner].abs().mean()
    assert after < 0.1 * before
    assert torch.equal(aligned.sharp, sharp * aligned.valid)
    assert aligned.valid.shape == (1, 120, 144)
    # The view lies 2.6 px to the right and 1.2 px up: that much of the sharp one it has not seen.
    assert not aligned.valid[0, :, :2].any()
    assert not aligned.valid[0, -1].any()
    assert aligned.valid[0, 4:-4, 4:-4].all()


def test_equal_pictures_stay(scene: np.ndarray) -> None:
    sharp = view(scene, 20, 18)
    aligned = align_restored(sharp, sharp)
    torch.testing.assert_close(aligned.restored, aligned.sharp, atol=2e-3, rtol=0)
    assert aligned.valid.mean() > 0.97


def test_what_cannot_be_aligned_is_compared_in_place() -> None:
    black, sharp = torch.zeros(3, 40, 48), torch.rand(3, 40, 48)
    with pytest.warns(UserWarning, match="in place"):
        aligned = align_restored(black, sharp)
    assert torch.equal(aligned.restored, black)
    assert torch.equal(aligned.sharp, sharp)
    assert aligned.valid.all()

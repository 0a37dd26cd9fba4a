from __future__ import annotations

import numpy as np
import pytest

from unsmear.data.trajectory import (
    moved_corners,
    path_length,
    random_trajectory,
    sample_poses,
    subframe_count,
)


@pytest.mark.parametrize("length", [1.0, 12.0, 60.0])
def test_path_has_the_asked_length_and_is_still_at_mid_exposure(length: float) -> None:
    for seed in range(20):
        poses = random_trajectory(np.random.default_rng(seed), length, turn=0.2, log_scale=0.1)
        assert np.all(poses[len(poses) // 2] == 0)
        assert path_length(poses) == pytest.approx(length, rel=1e-9)


def test_turn_and_growth_stay_below_their_limits() -> None:
    for seed in range(20):
        poses = random_trajectory(np.random.default_rng(seed), 5.0, turn=0.2, log_scale=0.1)
        assert abs(poses[-1, 2] - poses[0, 2]) <= 0.2
        assert abs(poses[-1, 3] - poses[0, 3]) <= 0.1


def test_path_is_smooth_curved_and_uneven() -> None:
    poses = random_trajectory(np.random.default_rng(1), 40.0, bend=1.0, unevenness=0.6)
    steps = np.diff(poses[:, :2], axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert np.abs(np.diff(steps, axis=0)).max() < 0.1 * lengths.max()
    assert lengths.max() > 1.2 * lengths.min()
    assert np.linalg.norm(poses[-1, :2] - poses[0, :2]) < 40.0


def test_odd_samples_hold_the_middle_instant() -> None:
    poses = random_trajectory(np.random.default_rng(0), 20.0)
    sampled = sample_poses(poses, 17)
    np.testing.assert_allclose(sampled[8], 0, atol=1e-12)
    assert path_length(sampled) == pytest.approx(20.0 * 16 / 17, rel=0.1)


@pytest.mark.parametrize(("length", "fewest", "most"), [(1, 5, 5), (25, 19, 23), (60, 45, 51)])
def test_subframes_follow_the_motion(length: float, fewest: int, most: int) -> None:
    count = subframe_count(random_trajectory(np.random.default_rng(0), length), 50, 50)
    assert fewest <= count <= most
    assert count % 2 == 1


def test_corners_of_a_quarter_turn() -> None:
    corners = moved_corners(np.array([[10.0, 0.0, np.pi / 2, 0.0]]), width=4, height=2)
    np.testing.assert_allclose(corners[0], [[11, -2], [11, 2], [9, 2], [9, -2]], atol=1e-12)

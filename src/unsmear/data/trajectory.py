"""Smooth random motions of one thing during one exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Fine enough that a 60 px path has steps below half a pixel; odd, so that one step is t = 0.5.
FINE_STEPS = 129


def smooth_noise(rng: np.random.Generator, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw a smooth random curve of about unit size.

    Args:
        rng: source of randomness.
        times: [n] instants in [0, 1].

    Returns:
        [n] values: three sine waves of rising frequency and falling height.
    """
    waves = np.arange(1, 4)
    heights = rng.normal(size=3) / waves
    phases = rng.uniform(0, 2 * np.pi, size=3)
    angles = np.pi * waves[:, None] * times[None] + phases[:, None]
    return (heights[:, None] * np.sin(angles)).sum(axis=0)


def random_trajectory(
    rng: np.random.Generator,
    path_length: float,
    turn: float = 0.0,
    log_scale: float = 0.0,
    bend: float = 0.8,
    unevenness: float = 0.5,
) -> NDArray[np.float64]:
    """Draw the poses that a thing takes on during the exposure.

    Args:
        rng: source of randomness.
        path_length: length in pixels of the way its centre travels.
        turn: angle in radians by which it turns from the first to the last instant, at most.
        log_scale: logarithm of its growth from the first to the last instant, at most.
        bend: how far the way strays from a straight line; radians, one standard deviation.
        unevenness: how far the speed strays from a constant one; log units, one standard deviation.

    Returns:
        [129, 4] poses (dx, dy in pixels, angle in radians, log-scale) at even instants from the
        opening of the shutter to its closing; the middle pose is all zero.
    """
    times = np.linspace(0.0, 1.0, FINE_STEPS)
    heading = rng.uniform(0, 2 * np.pi) + bend * smooth_noise(rng, times)
    speed = np.exp(unevenness * smooth_noise(rng, times))
    # The step between two instants takes the mean speed and heading of the two.
    step_speed = 0.5 * (speed[1:] + speed[:-1])
    step_heading = 0.5 * (heading[1:] + heading[:-1])
    step_share = step_speed / step_speed.sum()
    steps = np.stack(
        [
            path_length * step_share * np.cos(step_heading),
            path_length * step_share * np.sin(step_heading),
            # Turning and growing share the uneven speed: a thing speeds up as a whole.
            rng.uniform(-turn, turn) * step_share,
            rng.uniform(-log_scale, log_scale) * step_share,
        ],
        axis=1,
    )
    poses = np.concatenate([np.zeros((1, 4)), np.cumsum(steps, axis=0)])
    return poses - poses[FINE_STEPS // 2]


def sample_poses(poses: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Pick evenly spaced instants out of a trajectory.

    Args:
        poses: [129, 4] poses from `random_trajectory`.
        count: number of sub-frames; each stands for the middle of its slice of the exposure.

    Returns:
        [count, 4] poses, the middle one all zero when `count` is odd.
    """
    instants = (np.arange(count) + 0.5) / count * (len(poses) - 1)
    known = np.arange(len(poses))
    return np.stack([np.interp(instants, known, column) for column in poses.T], axis=1)


def path_length(poses: NDArray[np.float64]) -> float:
    """Measure the way that the centre travels, in pixels, over [n, 4] poses."""
    return float(np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1).sum())


def moved_corners(poses: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    """Follow the corners of a box about the origin through a trajectory.

    Args:
        poses: [n, 4] poses.
        width: width of the box in pixels.
        height: height of the box in pixels.

    Returns:
        [n, 4, 2] x, y of the corners relative to the box's centre at mid-exposure.
    """
    corners = 0.5 * np.array(
        [[-width, -height], [width, -height], [width, height], [-width, height]]
    )
    scale = np.exp(poses[:, 3])
    cos, sin = scale * np.cos(poses[:, 2]), scale * np.sin(poses[:, 2])
    turned_x = cos[:, None] * corners[:, 0] - sin[:, None] * corners[:, 1]
    turned_y = sin[:, None] * corners[:, 0] + cos[:, None] * corners[:, 1]
    return np.stack([turned_x + poses[:, :1], turned_y + poses[:, 1:2]], axis=2)


def subframe_count(poses: NDArray[np.float64], width: float, height: float) -> int:
    """Choose how many sub-frames make a smooth average.

    Args:
        poses: [n, 4] poses.
        width: width of the moving thing in pixels.
        height: height of the moving thing in pixels.

    Returns:
        An odd number from 5 to 63: about one sub-frame per 1.25 px of the farthest corner's way.
    """
    steps = np.diff(moved_corners(poses, width, height), axis=0)
    travel = np.linalg.norm(steps, axis=2).sum(axis=0).max()
    count = int(np.clip(np.ceil(travel / 1.25), 5, 63))
    return count + 1 - count % 2  # odd, so that one sub-frame is the middle instant

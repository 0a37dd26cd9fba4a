from __future__ import annotations

import numpy as np
import pytest
import torch

from unsmear.data.degrade import encode_srgb
from unsmear.data.rendering import Box, Layer, expose, over, shake
from unsmear.data.trajectory import random_trajectory, sample_poses


def straight(length: float, steps: int = 129) -> np.ndarray:
    poses = np.zeros((steps, 4))
    poses[:, 0] = np.linspace(-length / 2, length / 2, steps)
    return poses


def block(height: int, width: int, light: float = 1.0) -> torch.Tensor:
    pixels = torch.full((4, height, width), light)
    pixels[3] = 1
    return pixels


def test_scene_without_motion_is_the_scene() -> None:
    background = torch.rand(3, 40, 50)
    still = Layer(block(10, 10, 0.5), 5, 5)
    exposure = expose(background, [still, Layer(block(8, 8), 20, 20, np.zeros((129, 4)))])
    torch.testing.assert_close(exposure.blurred, exposure.sharp, rtol=0, atol=1e-5)
    assert torch.equal(exposure.blurred[:, :5], background[:, :5])
    assert torch.equal(exposure.sharp[:, 5:15, 5:15], torch.full((3, 10, 10), 0.5))


def test_half_covered_pixels_hold_half_the_light() -> None:
    # A white bar as wide as its path: its middle column is covered half of the exposure.
    exposure = expose(torch.zeros(3, 20, 80), [Layer(block(20, 21), 0, 30, straight(42.0))])
    middle = exposure.blurred[:, 10, 40]
    torch.testing.assert_close(middle, torch.full((3,), 0.5), atol=0.02, rtol=0)
    # sRGB of half the light is 0.7354, not 0.5: the average is one of light, not of bytes.
    torch.testing.assert_close(encode_srgb(middle), torch.full((3,), 0.7354), atol=0.015, rtol=0)


def glass(seed: int, top: int, left: int) -> Layer:
    """A half-transparent, noisy thing that shifts, turns and grows."""
    generator = torch.Generator().manual_seed(seed)
    cover = torch.rand(1, 16, 14, generator=generator)
    pixels = torch.cat([torch.rand(3, 16, 14, generator=generator) * cover, cover])
    poses = random_trajectory(np.random.default_rng(seed), 8.0, turn=0.3, log_scale=0.2)
    return Layer(pixels, top, left, poses)


def test_average_equals_the_mean_of_composited_subframes() -> None:
    """The shortcut for a still background against the plain loop, with things that overlap."""
    background = torch.rand(3, 48, 64)
    still = Layer(block(6, 6, 0.3), 12, 10)
    layers = [glass(0, 5, 5), still, glass(1, 15, 12), glass(2, 20, 20)]
    frame = Box(0, 0, 48, 64)
    count = max(layer.subframes for layer in layers)
    total = torch.zeros_like(background)
    for step in range(count):
        picture = background
        for layer in layers:
            if layer.poses is None:
                picture = over(layer.pasted(frame), picture)
            else:
                pose = sample_poses(layer.poses, count)[step : step + 1]
                picture = over(layer.at(pose, frame)[0], picture)
        total += picture / count
    torch.testing.assert_close(expose(background, layers).blurred, total, atol=1e-5, rtol=0)


def test_things_that_never_meet_are_averaged_one_by_one() -> None:
    background = torch.rand(3, 48, 64)
    one, other = glass(0, 2, 2), glass(1, 28, 44)
    first = expose(background, [one])
    both, second = expose(background, [one, other]), expose(first.blurred, [other])
    torch.testing.assert_close(both.blurred, second.blurred, atol=1e-6, rtol=0)
    assert torch.equal(both.swept, first.swept | second.swept)


def test_mid_pose_renders_the_layer_itself() -> None:
    layer = Layer(torch.rand(4, 9, 12), 3, -4, straight(10))
    box = layer.swept_box(30, 30)
    rendered = layer.at(np.zeros((1, 4)), box)[0]
    torch.testing.assert_close(rendered, layer.pasted(box), atol=1e-5, rtol=0)


def test_swept_covers_the_way_and_nothing_else() -> None:
    swept = expose(torch.zeros(3, 30, 60), [Layer(block(10, 10), 10, 25, straight(20))]).swept
    assert swept[10:20, 17:43].all()
    assert not swept[:9].any()
    assert not swept[:, :14].any()
    assert not swept[:, 46:].any()


def test_still_thing_in_front_hides_the_moving_one() -> None:
    mover = Layer(block(10, 10), 10, 25, straight(20))
    front = Layer(block(30, 20, 0.2), 0, 20)
    exposure = expose(torch.zeros(3, 30, 60), [mover, front])
    torch.testing.assert_close(exposure.blurred[:, :, 22:38], torch.full((3, 30, 16), 0.2))
    assert not exposure.swept[:, 21:39].any()


def test_layer_outside_the_frame_changes_nothing() -> None:
    background = torch.rand(3, 20, 20)
    exposure = expose(background, [Layer(block(8, 8), 60, 60, straight(5))])
    assert torch.equal(exposure.blurred, background)
    assert not exposure.swept.any()


@pytest.mark.parametrize("length", [3.0, 17.0])
def test_shake_by_convolution_equals_shake_by_rendering(length: float) -> None:
    scene = torch.rand(3, 60, 70)
    poses = random_trajectory(np.random.default_rng(5), length)
    margin = int(np.abs(poses[:, :2]).max()) + 2
    convolved = shake(scene, poses, margin)
    barely_turned = poses.copy()
    barely_turned[:, 2] = 1e-7
    torch.testing.assert_close(convolved, shake(scene, barely_turned, margin), atol=0.03, rtol=0)
    assert convolved.shape == (3, 60 - 2 * margin, 70 - 2 * margin)

"""Frames of a static camera averaged along optical flow, as if the shutter had stayed open."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from unsmear.data.degrade import linearise_bytes
from unsmear.data.rendering import Box, Exposure

MOVING_SPEED = 0.8  # px per frame; slower flow is noise
FASTEST = 40.0  # px per frame; faster flow is guesswork
SHORTEST_PATH, LONGEST_PATH = 3.0, 60.0  # px over the whole window
LEAST_MOVING = 0.01  # share of the picture in which something moves
CAMERA_SPEED = 0.4  # px per frame of the median pixel; faster, the camera moves
WORST_PREDICTION = 12.0  # grey levels by which flow may miss the next frame where things move
SMEARING_SPEED = 2.5  # px per frame; slower things are sharp at any shutter
LEAST_CRISPNESS = 18.0  # grey levels of the Laplacian at the finest detail of a sharp thing
BLURRED_GRADIENT = 0.6  # gradient along the motion over that across; lower, it is smeared
SMALLEST_THING = 0.002  # share of the picture; what is smaller is noise
CHANGED = 10  # grey levels by which a moving pixel changes
PATH_PER_INSTANT = 1.25  # px of motion from one interpolated picture to the next

Frame = NDArray[np.uint8]
Flow = NDArray[np.float32]


def average_window(window: Sequence[Frame], box: Box) -> Exposure | None:
    """Average frames from the first to the last, with the middle one as the sharp picture.

    Between two frames, pictures are interpolated along the optical flow and averaged in linear
    light. What never moves is taken from the middle frame, so that averaging does not remove its
    noise.

    Args:
        window: an odd number of [h, w, 3] RGB frames.
        box: the part that is wanted; what lies round it helps the optical flow.

    Returns:
        The exposure of the box, on the CPU. None when the camera moves, nothing moves, something
        moves too fast for optical flow, or the middle frame itself is smeared by the motion.
    """
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in window]
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    middle = half = len(window) // 2

    @cache
    def flow(source: int, target: int) -> Flow:
        return _flow(finder, grey[source], grey[target])

    # First of all, as it rejects the most: the middle frame against both of its neighbours.
    if any(_is_smeared(grey[middle], flow(middle, middle + side)) for side in (-1, 1)):
        return None
    speeds = [_busy_speed(flow(i, i + 1)) for i in range(len(grey) - 1)]
    while half > 1 and sum(speeds[middle - half : middle + half]) > LONGEST_PATH:
        half -= 1  # a shorter exposure
    steps = range(middle - half, middle + half)
    if not SHORTEST_PATH <= sum(speeds[i] for i in steps) <= LONGEST_PATH:
        return None
    if max(speeds[i] for i in steps) > FASTEST:
        return None
    for i in steps:
        moves = float(np.median(np.linalg.norm(flow(i, i + 1), axis=2))) > CAMERA_SPEED
        if moves or _prediction_error(grey[i], grey[i + 1], flow(i, i + 1)) > WORST_PREDICTION:
            return None
    light = {i: linearise_bytes(window[i]) for i in range(middle - half, middle + half + 1)}
    sharp = light[middle]
    total = np.zeros_like(sharp)
    for i in steps:
        count = int(np.clip(np.ceil(speeds[i] / PATH_PER_INSTANT), 2, 32))
        for instant in (np.arange(count) + 0.5) / count:
            between = _between(
                light[i], light[i + 1], flow(i, i + 1), flow(i + 1, i), float(instant)
            )
            total += between / (count * len(steps))
    flows = [flow(*pair) for i in steps for pair in ((i, i + 1), (i + 1, i))]
    swept = _swept(flows, grey[middle - half : middle + half + 1])
    if swept[box.cut].mean() < LEAST_MOVING:
        return None
    # A soft change from the middle frame to the average, so that no seam shows.
    weight = cv2.GaussianBlur(swept.astype(np.float32), (0, 0), 2.0)[..., None]
    blurred = sharp + weight * (total - sharp)
    return Exposure(
        _planes(blurred[box.cut]), _planes(sharp[box.cut]), torch.from_numpy(swept[box.cut] > 0)
    )


def _flow(finder: cv2.DISOpticalFlow, before: Frame, after: Frame) -> Flow:
    """Find where each pixel of `before` went: [h, w, 2] dx, dy in pixels."""
    start = np.zeros((*before.shape, 2), np.float32)
    return np.asarray(finder.calc(before, after, start), np.float32)


def _busy_speed(flow: Flow) -> float:
    """Speed in px per frame that 95 % of the moving pixels stay below; 0 when none moves."""
    speed = np.linalg.norm(flow, axis=2)
    moving = speed[speed > MOVING_SPEED]
    return float(np.quantile(moving, 0.95)) if len(moving) > LEAST_MOVING * speed.size / 4 else 0.0


def _swept(flows: Sequence[Flow], grey: Sequence[Frame]) -> NDArray[np.uint8]:
    """Mark with 1 where anything moved between some frames, grown by 4 px: [h, w].

    Flow alone also sees the flicker of plain walls: what moved must have changed, too, and be of
    some size.
    """
    moved = np.zeros(grey[0].shape, np.uint8)
    for flow in flows:
        moved |= np.linalg.norm(flow, axis=2) > MOVING_SPEED
    change = np.stack(grey).max(axis=0) - np.stack(grey).min(axis=0)
    changed = (cv2.blur(change, (3, 3)) > CHANGED).astype(np.uint8)
    # Flat parts of a moving thing change little: what lies between its edges counts as changed.
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21))
    moved &= np.asarray(cv2.morphologyEx(changed, cv2.MORPH_CLOSE, disc), np.uint8)
    moved = cv2.morphologyEx(moved, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(moved)
    large = stats[:, cv2.CC_STAT_AREA] >= SMALLEST_THING * moved.size
    large[0] = False
    kept = large[np.asarray(labels, np.int32)].astype(np.uint8)
    return np.asarray(cv2.dilate(kept, np.ones((9, 9), np.uint8)), np.uint8)


def _prediction_error(before: Frame, after: Frame, flow: Flow) -> float:
    """Mean grey levels by which flow misses the next frame, over what moves."""
    moving = np.linalg.norm(flow, axis=2) > MOVING_SPEED
    if not moving.any():
        return 0.0
    predicted = _sample(after, flow)  # what each pixel of `before` looks like where it went
    return float(cv2.absdiff(before, predicted)[moving].mean())


def _is_smeared(grey: Frame, flow: Flow) -> bool:
    """Tell whether what moves fast in a frame is blurred by that motion.

    Motion blur leaves no crisp detail, and removes the gradients along the motion while it spares
    those across it. Each fast region is looked at alone: a printed sleeve must not speak for the
    hand.
    """
    speed = np.linalg.norm(flow, axis=2)
    fast = speed > max(0.5 * _busy_speed(flow), SMEARING_SPEED)
    # Off the outline, whose gradients are those of the background as well.
    core = cv2.erode(fast.astype(np.uint8), np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core)
    crispness = np.abs(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.CV_32F))
    slope_x, slope_y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < SMALLEST_THING * speed.size:
            continue
        region = np.asarray(labels) == label
        x, y = (flow[region] / speed[region][:, None]).T
        along = slope_x[region] * x + slope_y[region] * y
        across = slope_y[region] * x - slope_x[region] * y
        smooth = np.quantile(crispness[region], 0.97) < LEAST_CRISPNESS
        if smooth or (along**2).mean() < BLURRED_GRADIENT**2 * (across**2).mean():
            return True
    return False


def _between(
    before: NDArray[np.float32], after: NDArray[np.float32], there: Flow, back: Flow, instant: float
) -> NDArray[np.float32]:
    """Interpolate two [h, w, 3] pictures at an instant from 0 to 1.

    A pixel in between came from `before` over `instant` of the way and goes to `after` over the
    rest; the flow at its own place stands for that at its source.
    """
    from_before = _sample(before, -instant * there)
    from_after = _sample(after, -(1 - instant) * back)
    return np.asarray((1 - instant) * from_before + instant * from_after, np.float32)


def _sample(picture: NDArray, shift: Flow) -> NDArray:
    """Look up each pixel at its place plus a [h, w, 2] shift; beyond the border it repeats."""
    rows, columns = np.mgrid[: shift.shape[0], : shift.shape[1]].astype(np.float32)
    return cv2.remap(
        picture,
        columns + shift[..., 0],
        rows + shift[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _planes(picture: NDArray[np.floating]) -> torch.Tensor:
    """Turn [h, w, 3] into [3, h, w] float32."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32))

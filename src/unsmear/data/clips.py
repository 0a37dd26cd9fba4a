"""Windows of clips: which frames of which clip, and which part of the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from unsmear.data.flow import average_window
from unsmear.data.library import MediaLibrary
from unsmear.data.rendering import Box, Exposure
from unsmear.errors import InputError

WINDOW_TRIES = 8
PARTS_TRIED = 3  # parts of the picture tried per decoded window: decoding costs the most
MARGIN = 24  # px round the wanted part that optical flow may look at
CHANGED = 12  # grey levels by which a moving pixel changes


def film(
    library: MediaLibrary, rng: np.random.Generator, frames: tuple[int, int], size: int
) -> Exposure | None:
    """Average a random window of a random clip.

    Args:
        library: holds the clips.
        rng: source of randomness.
        frames: fewest and most frames in a window; odd numbers are drawn.
        size: side of the square result in pixels.

    Returns:
        The exposure, on the CPU; None when several windows in a row show no usable motion.

    Raises:
        InputError: if a clip cannot be read, or none is as large as `size`.
    """
    for _ in range(WINDOW_TRIES):
        path = _random_clip(library, rng, size)
        count = 2 * int(rng.integers(frames[0] // 2, frames[1] // 2 + 1)) + 1
        start = _busy_start(_activity(library, path), count, rng)
        window = read_frames(path, start, count)
        if len(window) < count:
            continue
        for _ in range(PARTS_TRIED):
            part, box = _part_in_motion(window, size, rng)
            exposure = average_window(part, box)
            if exposure is not None:
                return exposure
    return None


def read_frames(path: Path, start: int, count: int) -> list[NDArray[np.uint8]]:
    """Decode some frames of a clip.

    Args:
        path: the clip.
        start: number of the first frame wanted.
        count: number of frames wanted.

    Returns:
        [H, W, 3] RGB bytes; fewer than `count` when the clip ends before.

    Raises:
        InputError: if the clip cannot be read.
    """
    pictures = []
    for number, frame in enumerate(_decode(path)):
        if number >= start + count:
            break
        # Earlier frames are decoded, as later ones build on them, but not converted.
        if number >= start:
            pictures.append(frame.to_ndarray(format="rgb24"))
    return pictures


def _decode(path: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(path)) as clip:
            yield from clip.decode(video=0)
    except (FFmpegError, IndexError) as error:
        raise InputError(f"cannot read {path} as a clip ({error}): remove it") from error


def _size_of(path: Path) -> NDArray[np.float64]:
    """Width, height and seconds of a clip, from its header: [3]."""
    try:
        with av.open(str(path)) as clip:
            stream = clip.streams.video[0]
            return np.array([stream.width, stream.height, (clip.duration or 1e6) / 1e6])
    except (FFmpegError, IndexError) as error:
        raise InputError(f"cannot read {path} as a clip ({error}): remove it") from error


def _random_clip(library: MediaLibrary, rng: np.random.Generator, size: int) -> Path:
    """Draw a clip that is large enough; larger and longer ones, which show more, more often."""
    sizes = [
        library.remember(("clip size", path), lambda p=path: _size_of(p)) for path in library.clips
    ]
    large = [i for i, (width, height, _) in enumerate(sizes) if min(width, height) >= size]
    if not large:
        raise InputError(f"no clip is as large as {size} px: name larger ones, or set clip=0")
    weights = np.sqrt([sizes[i].prod() for i in large])
    return library.clips[large[rng.choice(len(large), p=weights / weights.sum())]]


def _activity(library: MediaLibrary, path: Path) -> NDArray[np.float64]:
    """Estimate how much changes from each frame to the next: [frames - 1], no unit.

    A codec stores changes: the bytes it spends on a frame tell of motion without any decoding.
    """

    def measure() -> NDArray[np.float64]:
        try:
            with av.open(str(path)) as clip:
                packets = [
                    (packet.pts, packet.size, packet.is_keyframe)
                    for packet in clip.demux(video=0)
                    if packet.pts is not None
                ]
        except (FFmpegError, IndexError) as error:
            raise InputError(f"cannot read {path} as a clip ({error}): remove it") from error
        packets.sort()
        sizes = np.array([size for _, size, _ in packets], np.float64)
        whole = np.array([key for *_, key in packets], bool)
        # Key frames hold the whole picture, and tell nothing of change.
        sizes[whole] = np.median(sizes[~whole]) if not whole.all() else 1.0
        return sizes[1:]

    return library.remember(("clip activity", path), measure)


def _busy_start(activity: NDArray[np.float64], count: int, rng: np.random.Generator) -> int:
    """Draw the first frame of a window: the more happens in a window, the more often it is it."""
    if len(activity) < count - 1 or activity.sum() <= 0:
        return 0
    changes = np.convolve(activity, np.ones(count - 1), mode="valid")
    weights = np.sqrt(changes)  # tamed, so that the wildest second of a clip is not all there is
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _part_in_motion(
    window: list[NDArray[np.uint8]], size: int, rng: np.random.Generator
) -> tuple[list[NDArray[np.uint8]], Box]:
    """Cut a part in which something moves, reduced by a random factor.

    Args:
        window: [H, W, 3] frames, H and W at least `size`.
        size: side of the wanted square in pixels.
        rng: source of randomness.

    Returns:
        The cut and reduced frames, and the wanted square in them; round it lies a margin.
    """
    height, width = window[0].shape[:2]
    factor = rng.uniform(1.0, min(2.0, min(height, width) / size))
    side, margin = int(size * factor), int(MARGIN * factor)
    first, middle, last = (
        cv2.cvtColor(window[i], cv2.COLOR_RGB2GRAY) for i in (0, len(window) // 2, -1)
    )
    change = np.maximum(cv2.absdiff(first, middle), cv2.absdiff(middle, last))
    moving = np.flatnonzero(cv2.blur(change, (9, 9)) > CHANGED)
    row, column = height // 2, width // 2
    if len(moving):
        row, column = divmod(int(moving[rng.integers(len(moving))]), width)
    # The moving pixel lies anywhere in the middle half of the square, as far as the frame allows.
    top = int(np.clip(row - side * rng.uniform(0.25, 0.75), 0, height - side))
    left = int(np.clip(column - side * rng.uniform(0.25, 0.75), 0, width - side))
    outer = Box(
        max(top - margin, 0),
        max(left - margin, 0),
        min(top + side + margin, height),
        min(left + side + margin, width),
    )
    reduced_height = max(round((outer.bottom - outer.top) / factor), size)
    reduced_width = max(round((outer.right - outer.left) / factor), size)
    part = [
        np.asarray(
            cv2.resize(
                frame[outer.cut], (reduced_width, reduced_height), interpolation=cv2.INTER_AREA
            ),
            np.uint8,
        )
        for frame in window
    ]
    inner_top = min(round((top - outer.top) / factor), reduced_height - size)
    inner_left = min(round((left - outer.left) / factor), reduced_width - size)
    return part, Box(inner_top, inner_left, inner_top + size, inner_left + size)

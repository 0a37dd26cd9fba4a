"""Tiny clips, written by another build of FFmpeg than the one that is tested."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np


def ffmpeg(*words: object, stdin: bytes = b"") -> bytes:
    """Run FFmpeg's own command and give what it writes to stdout."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def moving_square(frames: int, height: int = 64, width: int = 96, speed: int = 6) -> np.ndarray:
    """(N, H, W, 3) uint8: a bright, textured square that goes right over a still background."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 120, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    still = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    thing = rng.integers(120, 255, (16, 16, 3), dtype=np.uint8)
    clip = np.stack([still] * frames)
    for number, frame in enumerate(clip):
        left = 4 + speed * number % (width - 24)
        frame[24:40, left : left + 16] = thing
    return clip


def write_clip(
    path: Path,
    pictures: np.ndarray,
    *options: str,
    pixels: str = "yuv420p",
    codec: str = "libx264",
    rate: str = "25",
) -> Path:
    """Encode (N, H, W, 3) pictures."""
    _, height, width, _ = pictures.shape
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"),
        *("-c:v", codec, "-pix_fmt", pixels, *options, path),
        stdin=pictures.tobytes(),
    )
    return path


def frames_of(path: Path) -> list[av.VideoFrame]:
    """All frames of a clip."""
    with av.open(str(path)) as clip:
        return list(clip.decode(video=0))


def planes(path: Path) -> list[bytes]:
    """The samples of each frame."""
    return [b"".join(bytes(plane) for plane in frame.planes) for frame in frames_of(path)]


def times(path: Path) -> list[tuple[int | None, object]]:
    """When each frame is shown, with its unit."""
    return [(frame.pts, frame.time_base) for frame in frames_of(path)]


def packets(path: Path, kinds: Sequence[str] = ("audio", "subtitle")) -> list[tuple[object, ...]]:
    """Time and content of the packets of some streams, stream by stream."""
    with av.open(str(path)) as clip:
        chosen = [stream for stream in clip.streams if stream.type in kinds]
        found = [
            (packet.stream.type, packet.pts, packet.time_base, bytes(packet))
            for packet in clip.demux(*chosen)
            if packet.size
        ]
    return sorted(found, key=str)

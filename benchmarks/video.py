"""What a frame of a static camera costs, against the share of it that moves.

Usage: python benchmarks/video.py [--size 1280x720] [--frames 12] [--model NAME]

A textured square goes over a still, textured background. Each row is a square of another side; the
last one is a camera that moves. Printed are the shares of the frame that moved and that the network
was given, and processor seconds a frame, decoding and encoding included, of the frames after the
first, which is always seen whole; and that time as a share of the last row's.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from unsmear.inference import Deblurrer, Steering
from unsmear.runtime import tune_process
from unsmear.video import VideoSettings, deblur_clip

SPEED = 12  # px a frame


def write(path: Path, width: int, height: int, side: int, frames: int) -> float:
    """Write a clip and give the share of a frame in which the square is and was; 0 pans."""
    rng = np.random.default_rng(0)
    still = rng.integers(60, 200, (height // 4, width // 2, 3), dtype=np.uint8)
    still = still.repeat(4, axis=0).repeat(4, axis=1)
    thing = rng.integers(0, 255, (side // 4, side // 4, 3), dtype=np.uint8)
    thing = thing.repeat(4, axis=0).repeat(4, axis=1)
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("libx264", rate=25, options={"qp": "0", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            shift = 0 if side else SPEED * number
            picture = still[:, shift : shift + width].copy()
            top, left = (height - side) // 2, 100 + SPEED * number
            picture[top : top + side, left : left + side] = thing
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        clip.mux(stream.encode())
    return 1.0 if not side else side * (side + 2 * SPEED) / (width * height)


def spent(path: Path, engine: Deblurrer, frames: int) -> tuple[float, float]:
    """Processor seconds, and pixels seen as a share of one frame."""
    began = time.process_time()
    out = path.with_name("out.mp4")
    report = deblur_clip(path, out, engine, Steering(), VideoSettings(piece=1000), overwrite=True)
    return time.process_time() - began, report.seen_fraction * frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--model", default="lmdvit-tiny")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    tune_process()
    engine = Deblurrer(options.model)
    rows = []
    with TemporaryDirectory() as folder:
        for side in (40, 120, 240, 400, 0):
            path = Path(folder) / f"{side}.mp4"
            moved = write(path, width, height, side, options.frames)
            few, many = 2, options.frames
            write(path.with_name("few.mp4"), width, height, side, few)
            first = spent(path.with_name("few.mp4"), engine, few)
            whole = spent(path, engine, many)
            seconds, seen = ((b - a) / (many - few) for a, b in zip(first, whole, strict=True))
            rows.append((side, moved, seen, seconds))
    print(f"{options.model}, {options.size}, {engine.dtype}, {engine.device}")
    print("side  moving   seen  s/frame  of the moving camera's")
    for side, moved, seen, seconds in rows:
        name = f"{side:4}" if side else " all"
        print(f"{name}  {moved:6.1%} {seen:6.1%}  {seconds:7.2f}  {seconds / rows[-1][3]:6.2f}")


if __name__ == "__main__":
    main()

"""When frames are shown, in every container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from .makers import ffmpeg, frames_of, moving_square, times, write_clip


def test_variable_frame_rate_and_a_late_start_are_kept(deblur, clip: Path, tmp_path: Path) -> None:
    uneven = tmp_path / "uneven.mkv"
    filters = r"setpts='(N*N*40+if(mod(N\,3)\,7\,0))/1000/TB+0.5/TB'"
    ffmpeg("-i", clip, "-vf", filters, "-fps_mode", "passthrough", "-copyts", uneven)
    deblur(uneven, tmp_path / "out.mkv")
    shown = times(tmp_path / "out.mkv")
    assert shown == times(uneven)
    steps = np.diff([pts for pts, _ in shown])
    assert len(set(steps.tolist())) > 3
    assert shown[0][0] != 0


@pytest.mark.parametrize(
    ("name", "codec"), [("in.mp4", "libx264"), ("in.avi", "mpeg4"), ("in.avi", "libx264")]
)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_times_are_kept_where_a_container_stores_none(
    deblur, tmp_path: Path, name: str, codec: str, b_frames: int
) -> None:
    """An AVI says when a frame is decoded; FFmpeg's guess of when it is shown is late by one."""
    source = write_clip(tmp_path / name, moving_square(12), "-bf", str(b_frames), codec=codec)
    deblur(source, tmp_path / "out.avi", settings={"lossless": False, "piece": 12})
    with av.open(str(tmp_path / "out.avi")) as out:
        found = [packet for packet in out.demux(video=0) if packet.size]
    seconds = [round(float(packet.dts * packet.time_base), 3) for packet in found]
    assert seconds == [round(0.04 * number, 3) for number in range(12)]
    shown = [frame.pts for frame in frames_of(tmp_path / "out.avi")]
    assert shown == sorted(shown)


@pytest.mark.parametrize(("name", "rate"), [("in.mp4", "30000/1001"), ("in.mkv", "30")])
def test_an_avi_has_no_empty_frames_where_frames_follow_evenly(
    deblur, tmp_path: Path, name: str, rate: str
) -> None:
    """It counts time in frames: in a finer unit players see hundreds of them a second."""
    source = write_clip(tmp_path / name, moving_square(12), rate=rate)
    deblur(source, tmp_path / "out.avi", settings={"lossless": False})
    with av.open(str(tmp_path / "out.avi")) as out:
        stream = out.streams.video[0]
        assert (stream.frames, stream.average_rate) == (12, Fraction(rate))


def test_an_avi_of_uneven_frames_keeps_their_times(deblur, tmp_path: Path) -> None:
    uneven = ("-vf", "select='not(mod(n,3))+not(mod(n,4))'", "-fps_mode", "vfr")
    source = write_clip(tmp_path / "in.mp4", moving_square(20), *uneven)
    deblur(source, tmp_path / "out.avi", settings={"lossless": False})
    shown = [round(frame.time, 3) for frame in frames_of(source)]
    with av.open(str(tmp_path / "out.avi")) as out:
        found = [packet for packet in out.demux(video=0) if packet.size]
        assert out.streams.video[0].average_rate == 25
    assert [round(float(packet.dts * packet.time_base), 3) for packet in found] == shown


def test_wmv_is_stored_in_the_order_of_showing(deblur, clip: Path, tmp_path: Path) -> None:
    """It stores when frames are decoded and not when they are shown, as an AVI does."""
    deblur(clip, tmp_path / "out.wmv", settings={"lossless": False, "piece": 10})
    with av.open(str(tmp_path / "out.wmv")) as out:
        stored = [float(packet.dts * packet.time_base) for packet in out.demux() if packet.size]
    assert stored == pytest.approx([0.04 * number for number in range(10)], abs=0.001)
    shown = [frame.pts for frame in frames_of(tmp_path / "out.wmv")[:-2]]
    assert shown == sorted(shown)

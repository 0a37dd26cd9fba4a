"""Files that are no clips, and clips that break off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unsmear.errors import InputError
from unsmear.inference import Steering
from unsmear.video.clip import Clip

from .makers import ffmpeg, moving_square, write_clip


def test_no_video(deblur, tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", sound)
    with pytest.raises(InputError, match="no video"):
        deblur(sound, tmp_path / "out.mp4")


def test_a_picture_that_is_called_a_clip(deblur, tmp_path: Path) -> None:
    picture = tmp_path / "photo.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", "color=s=32x32", "-frames:v", 1, "-f", "image2", "-c:v", "png", picture
    )
    with pytest.raises(InputError, match="is a picture"):
        deblur(picture, tmp_path / "out.mp4")


@pytest.mark.parametrize("content", [b"", b"no clip at all" * 100])
def test_no_clip(deblur, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.mp4").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        deblur(tmp_path / "broken.mp4", tmp_path / "out.mp4")


def test_no_frames(deblur, clip: Path, tmp_path: Path) -> None:
    ffmpeg("-i", clip, "-frames:v", 0, "-c", "copy", tmp_path / "empty.mkv")
    with pytest.raises(InputError):
        deblur(tmp_path / "empty.mkv", tmp_path / "out.mkv")


def test_a_file_that_breaks_off_is_done_as_far_as_it_goes(deblur, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (20, 64, 96, 3), dtype=np.uint8)
    whole = write_clip(tmp_path / "whole.mp4", pictures, "-movflags", "faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.warns(UserWarning, match="breaks off"):
        report = deblur(cut, tmp_path / "out.mp4", steering=Steering(threshold=1.0))
    assert 0 < report.frames < 20


def test_an_avi_that_breaks_off_is_called_so(deblur, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", moving_square(40), codec="mpeg4")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    with pytest.warns(UserWarning, match="breaks off: .* of 40 frames"):
        report = deblur(cut, tmp_path / "out.avi")
    assert 0 < report.frames < 40


def test_a_matroska_that_breaks_off_is_called_so(deblur, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", moving_square(20))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    with pytest.warns(UserWarning, match="breaks off: .* frames could be read"):
        report = deblur(cut, tmp_path / "out.mkv", steering=Steering(threshold=1.0))
    assert 0 < report.frames < 18


def test_a_whole_clip_is_not_called_damaged(
    deblur, trimmed: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    gap = ("-vf", "select='not(between(n,4,8))'", "-fps_mode", "passthrough")
    skipping = write_clip(tmp_path / "gap.avi", moving_square(16), *gap, codec="mpeg4")
    mute = write_clip(tmp_path / "b.mp4", moving_square(16), "-bf", "2")
    fine_steps = tmp_path / "steps.avi"
    ffmpeg("-i", mute, "-c", "copy", fine_steps)
    late = tmp_path / "late.mkv"
    ffmpeg("-itsoffset", 2, "-i", mute, "-c", "copy", late)
    for source, frames in ((trimmed, 15), (skipping, 11), (fine_steps, 16)):
        with Clip(source) as clip:
            assert clip.total == frames
        assert deblur(source, tmp_path / f"{source.stem}.out.mkv").frames == frames
    assert deblur(late, tmp_path / "late.out.mkv").frames == 16
    assert not recwarn.list

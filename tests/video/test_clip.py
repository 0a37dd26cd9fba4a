import warnings
from pathlib import Path

import pytest

from unsmear.video.clip import Clip

from .makers import moving_square, write_clip

INTERLACED = ("-vf", "setfield=tff", "-flags", "+ildct+ilme")


def test_an_interlaced_clip_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "tape.mp4", moving_square(3), *INTERLACED)
    with pytest.warns(UserWarning, match=r"interlaced.*ffmpeg -i tape\.mp4 -vf bwdif"):
        Clip(path)


def test_a_progressive_clip_is_not_told_of(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "film.mp4", moving_square(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Clip(path)

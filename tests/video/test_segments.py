"""Clips whose run was broken off, killed or doubled: the pieces that are there are used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unsmear.errors import OutputError
from unsmear.inference import Steering
from unsmear.video import run as running

from .makers import moving_square, write_clip


def leave_pieces(deblur, clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break a run off when all its pieces are there, and its result is not."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "join", stop)
        with pytest.raises(KeyboardInterrupt):
            deblur(clip, out)


def test_a_run_that_was_broken_off_goes_on(deblur, clip, tmp_path: Path, monkeypatch) -> None:
    deblur(clip, tmp_path / "through.mp4")
    put = running._OpenPiece.put

    def stop_at_six(self, ready, restorer):
        if ready.seen.frame.number == 6:
            raise KeyboardInterrupt
        put(self, ready, restorer)

    monkeypatch.setattr(running._OpenPiece, "put", stop_at_six)
    with pytest.raises(KeyboardInterrupt):
        deblur(clip, tmp_path / "resumed.mp4")
    assert not (tmp_path / "resumed.mp4").exists()
    numbers = []

    def count(self, ready, restorer):
        numbers.append(ready.seen.frame.number)
        put(self, ready, restorer)

    monkeypatch.setattr(running._OpenPiece, "put", count)
    report = deblur(clip, tmp_path / "resumed.mp4")
    assert numbers == [4, 5, 6, 7, 8, 9]  # the first piece of four was there
    assert (report.resumed_frames, report.frames) == (4, 10)
    assert (tmp_path / "resumed.mp4").read_bytes() == (tmp_path / "through.mp4").read_bytes()


def test_other_wishes_begin_again(deblur, clip: Path, tmp_path: Path, monkeypatch) -> None:
    leave_pieces(deblur, clip, tmp_path / "out.mp4", monkeypatch)
    assert list(tmp_path.glob(".out.mp4.unsmear/*.npz"))
    steering = Steering(threshold=0.0, strength=0.5)
    assert deblur(clip, tmp_path / "out.mp4", steering=steering).resumed_frames == 0


@pytest.mark.parametrize("left", [0, 0.5], ids=["empty", "cut off"])
def test_a_damaged_piece_is_made_again(
    deblur, clip: Path, tmp_path: Path, monkeypatch, left: float
) -> None:
    """As a power cut leaves it: what was renamed need not have reached the disk."""
    leave_pieces(deblur, clip, tmp_path / "out.mp4", monkeypatch)
    second = tmp_path / ".out.mp4.unsmear" / "000001.npz"
    second.write_bytes(second.read_bytes()[: int(left * second.stat().st_size)])
    assert deblur(clip, tmp_path / "out.mp4").resumed_frames == 4
    deblur(clip, tmp_path / "through.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "through.mp4").read_bytes()


def test_a_damaged_manifest_begins_again(deblur, clip: Path, tmp_path: Path) -> None:
    pieces = tmp_path / ".out.mp4.unsmear"
    pieces.mkdir()
    (pieces / "manifest.json").write_bytes(b"\xff\x00")
    assert deblur(clip, tmp_path / "out.mp4").resumed_frames == 0


@pytest.mark.skipif(sys.platform == "win32", reason="folders are locked where POSIX's locks are")
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_two_runs_at_once_do_not_mix(
    deblur, clip: Path, tmp_path: Path, monkeypatch, strength: float
) -> None:
    """Neither a second run of the same command, nor one with other wishes."""
    out = tmp_path / "out.mp4"
    deblur(clip, tmp_path / "alone.mp4")
    put = running._OpenPiece.put

    def put_beside_another(self, ready, restorer):
        if ready.seen.frame.number == 6:
            monkeypatch.undo()
            with pytest.raises(OutputError, match="another run"):
                deblur(clip, out, steering=Steering(threshold=0.0, strength=strength))
        put(self, ready, restorer)

    monkeypatch.setattr(running._OpenPiece, "put", put_beside_another)
    deblur(clip, out)
    assert out.read_bytes() == (tmp_path / "alone.mp4").read_bytes()
    assert not (tmp_path / ".out.mp4.unsmear").exists()


KILLED = """
import sys, torch
from unsmear.inference import Deblurrer, Steering
from unsmear.video import VideoSettings, deblur_clip
torch.set_num_threads(1)
engine = Deblurrer(sys.argv[3], device="cpu", dtype="float32")
settings = VideoSettings(lossless=True, piece=4)
deblur_clip(sys.argv[1], sys.argv[2], engine, Steering(threshold=0.0), settings)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX's")
def test_a_killed_process_goes_on(deblur, checkpoint: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "long.mp4", moving_square(40), "-crf", "10")
    words = (source, tmp_path / "killed.mp4", checkpoint)
    child = subprocess.Popen([sys.executable, "-c", KILLED, *map(str, words)])
    pieces = tmp_path / ".killed.mp4.unsmear"
    try:
        while child.poll() is None and len(list(pieces.glob("*.npz"))) < 2:
            time.sleep(0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert not (tmp_path / "killed.mp4").exists()
    report = deblur(source, tmp_path / "killed.mp4")
    assert 8 <= report.resumed_frames <= 40
    deblur(source, tmp_path / "through.mp4")
    assert (tmp_path / "killed.mp4").read_bytes() == (tmp_path / "through.mp4").read_bytes()
    assert not pieces.exists()

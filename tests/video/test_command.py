"""The command for clips, from its words to its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from unsmear.cli import main as door
from unsmear.cli.main import main
from unsmear.video.joining import SUFFIXES

from .makers import frames_of, moving_square, planes, times, write_clip


@pytest.fixture
def run(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    def call(*words: object) -> tuple[int, str, str]:
        defaults = ("--model", checkpoint, "--device", "cpu", "--dtype", "float32")
        code = main([str(word) for word in (*words, *defaults)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_clip_end_to_end(run, clip: Path) -> None:
    code, out, err = run(clip, "--threshold", 0, "--json", clip.with_name("figures.json"))
    assert (code, err) == (0, "")
    result = clip.with_name("clip.unsmeared.mp4")
    assert times(result) == times(clip)
    assert str(result) in out
    assert "10 of 10 frames changed" in out
    assert "flicker" in out
    figures = json.loads(clip.with_name("figures.json").read_text())
    assert figures["frames"] == 10
    assert figures["input"] == str(clip)
    assert {"flicker", "seen_fraction", "touched_fraction", "resumed_frames"} <= set(figures)
    code, _, err = run(clip)
    assert code == 2
    assert "already exists" in err


def test_the_bundled_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_clip(tmp_path / "clip.mkv", moving_square(3, 128, 128), codec="ffv1")
    code = main([str(source), "-o", str(tmp_path / "out.mkv"), "--device", "cpu", "--json", "-"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert json.loads(captured.out)["model"] == "lmdvit-tiny"
    assert times(tmp_path / "out.mkv") == times(source)


def test_a_box_and_a_mask(run, clip: Path, tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.new("L", (96, 64))
    picture.paste(255, (40, 20, 60, 44))
    picture.save(tmp_path / "mask.png")
    for number, words in enumerate((("--box", "40,20,20,24"), ("--mask", tmp_path / "mask.png"))):
        assert run(clip, "-o", tmp_path / f"{number}.mp4", "--lossless", "-q", *words)[0] == 0
    assert planes(tmp_path / "0.mp4") == planes(tmp_path / "1.mp4") != planes(clip)


def test_results_go_into_a_folder(run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    code, out, _ = run(clip, "-o", tmp_path / "done", "-q")
    assert (code, out) == (0, "")
    assert len(frames_of(tmp_path / "done" / "clip.mp4")) == 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("CLIP", "CLIP"), "one at a time"),
        (("CLIP", "photo.jpg"), "one at a time"),
        (("CLIP", "--crf", 20, "--lossless"), "choose one"),
        (("CLIP", "--crf", 90), "crf"),
        (("CLIP", "--box", "1,2,3"), "--box wants"),
        (("CLIP", "--box", "500,500,10,10"), "outside the picture"),
        (("CLIP", "--threshold", 2), "threshold"),
        (("CLIP", "-o", "out.jpg"), "no clip by its ending"),
        (("CLIP", "--dense"), "--dense"),
        (("CLIP", "--json", "."), "no place"),
        (("nothing.mp4",), "There is no file"),
        (("clip.unsmeared.mp4",), "is a result"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run, clip: Path, words: tuple[object, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    code, out, err = run(*(clip.name if word == "CLIP" else word for word in words))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in clip.parent.iterdir()) == ["clip.mp4"]


def test_clips_are_known_by_their_names() -> None:
    assert all(door.CLIPS.search(f"a{suffix}") for suffix in SUFFIXES)
    assert door._name_a_clip(["--box", "1,2,3,4", "A.MP4"])
    assert not door._name_a_clip(["photo.jpg", "-o", "x.mp4"])
    assert not door._name_a_clip(["mp4", "clip.mp4.jpg", "-.mp4"])


WITHOUT_AV = """
import sys
from unsmear.cli.main import main
code = main(sys.argv[1:])
heavy = {"torch", "numpy", "av"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else code)
"""


@pytest.mark.parametrize("words", [["video", "--help"], ["clip.mp4", "--help"], ["--help"]])
def test_help_loads_nothing(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_AV, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ("CLIP" in ended.stdout) == (words != ["--help"])


def test_without_pyav_it_says_what_to_install(run, clip: Path, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("av", "unsmear.video"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err = run(clip)
    assert code == 2
    assert "unsmear[video]" in err

"""``unsmear study``, run as a person would."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from study.makers import make_restorations
from unsmear.study import Answer, AnswerFile, read_answers

from .makers import Run


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    answers = AnswerFile(tmp_path / "study.jsonl")
    for photo in range(10):
        answers.add(
            Answer("ann", str(photo), ("ours", "theirs"), "theirs" if photo < 2 else "ours")
        )
    answers.add(Answer("bob", "0", ("ours", "theirs"), None))
    return answers.path


def test_results_as_tables(answered: Path, run: Run) -> None:
    ended = run("study", "--results", answered, plain=True)
    assert ended.code == 0, ended.err
    assert "80.0%" in ended.out
    assert "49.0% to 94.3%" in ended.out
    assert "10 decided, 1 undecided; people: 2, photos: 10" in ended.out
    assert ended.out.index("ours") < ended.out.index("theirs")


def test_results_of_a_folder_whose_name_is_no_text(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = AnswerFile(tmp_path / "study.jsonl")
    answers.add(Answer("ann", "a", ("ours", "th\udce9irs"), "ours"))
    terminal = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr("sys.stdout", terminal)
    ended = run("study", "--results", answers.path, plain=True)
    assert ended.code == 0, ended.err
    assert rb"th\udce9irs" in terminal.buffer.getvalue()


def test_results_as_json(answered: Path, run: Run) -> None:
    result = json.loads(run("study", "--results", answered, "--json", plain=True).out)
    best = result["models"][0]
    assert (best["model"], best["chosen"], best["shown"], best["share"]) == ("ours", 8, 10, 0.8)
    assert best["low"] == pytest.approx(0.49016, abs=1e-5)
    assert result["wins"] == {"ours": {"theirs": 8}, "theirs": {"ours": 2}}


def test_a_session_from_start_to_end(tmp_path: Path) -> None:
    folders = make_restorations(tmp_path, ("ours", "theirs"), ("a", "b"))
    words = ("study", f"us={folders['ours']}", folders["theirs"], "--no-browser", "-o", "s.jsonl")
    command = [sys.executable, "-m", "unsmear", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as running:
        assert running.stdout is not None
        told = running.stdout.readline()
        address = next(word for word in told.split() if word.startswith("http"))
        with urllib.request.urlopen(f"{address}study") as reply:
            question = json.load(reply)["questions"][0]
        body = json.dumps({"question": question["id"], "picture": question["pictures"][0]})
        asked = urllib.request.Request(
            f"{address}answer", body.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked) as reply:
            assert json.load(reply) == {"saved": True}
        os.kill(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert "2 photos" in told
    assert out == "unsmear study --results s.jsonl\n"
    answer = read_answers(tmp_path / "s.jsonl")[0]
    assert set(answer.shown) == {"us", "theirs"}
    assert answer.choice == answer.shown[0]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "two folders"),
        (("ours",), "two folders"),
        (("ours", "none"), "none"),
        (("ours", "theirs", "-o", "none/s.jsonl"), "none"),
        (("ours", "theirs", "-o", "broken.jsonl"), "line 1"),
        (("ours", "theirs", "--json"), "--results"),
        (("ours", "--results", "s.jsonl"), "--results"),
        (("--results", "none.jsonl"), "none.jsonl"),
    ],
)
def test_refusals(
    words: tuple[str, ...],
    part: str,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_restorations(tmp_path, ("ours", "theirs"), ("a",))
    (tmp_path / "broken.jsonl").write_text("mine\n")
    monkeypatch.chdir(tmp_path)
    ended = run("study", *words, plain=True)
    assert ended.code == 2
    assert part in ended.err
    assert len(ended.err.splitlines()) == 1

"""Every command and every piece of Python in the documentation runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from unsmear.cli.main import main

from .world import ROOT, make_world

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)

# Beginnings of lines that do not run here, and why.
ELSEWHERE = {
    "make ": "what .ci/run and a clone's owner call; it builds the environment this runs in",
    "pip install": "needs an empty environment",
    "unsmear study ours=restored": "serves until stopped: tests/cli/test_study.py",
    "unsmear eval --data mine --restorer": "needs weights: tests/evaluation/test_rivals.py",
    "unsmear eval --data synthetic:": "needs the photos of the split: tests/evaluation",
    "unsmear data synthesize": "needs photos of a camera's size: tests/cli/test_data.py",
    "unsmear bench lmdvit": "a minute: tests/cli/test_bench.py has a small network",
    "unsmear serve": "serves until stopped: tests/web",
    "docker ": "needs Docker's daemon",
    "UNSMEAR_API_KEY=secret docker": "needs Docker's daemon",
    "unsmear -r photos -o restored --manifest done.jsonl --ray": "tests/batch/test_cluster.py",
    "unsmear train configs/": "tests/training/test_shipped_configs.py runs every file",
}
SERVED = "localhost:7860"


class Snippet(NamedTuple):
    """A line of a shell or a block of Python, and where it stands."""

    page: str
    language: str
    text: str


def snippets() -> list[Snippet]:
    """All of them, in order."""
    found = []
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text()):
            if language == "python":
                found.append(Snippet(page.name, language, text))
            elif language in ("sh", "bash"):
                found += [Snippet(page.name, "sh", one) for one in commands(text)]
    return found


def commands(text: str) -> Iterator[str]:
    """The commands of a block; one may go on over lines behind a backslash or within quotes."""
    command = ""
    for line in text.replace("\\\n", " ").splitlines():
        command += line
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            command += "\n"
            continue
        if words:
            yield command
        command = ""


def label(snippet: Snippet) -> str:
    return f"{snippet.page}: {snippet.text.splitlines()[0]}"


SHELL = [one for one in snippets() if one.language == "sh"]
PYTHON = [one for one in snippets() if one.language == "python"]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(untouched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A world of one's own, as the current folder."""
    shutil.copytree(untouched, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def address(untouched: Path) -> Iterator[str]:
    """HOST:PORT of a server, for the commands that ask one."""
    model = str(untouched / "mine.safetensors")
    words = ["serve", "--no-page", "--port", "0", "--model", model, "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "unsmear", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().split()[0].removeprefix("http://").rstrip("/")
    process.terminate()
    process.wait(60)


@pytest.mark.parametrize(
    "snippet", [one for one in SHELL if not one.text.startswith(tuple(ELSEWHERE))], ids=label
)
def test_command(
    snippet: Snippet,
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    words = shlex.split(snippet.text, comments=True)
    if words[0] != "unsmear":
        if shutil.which(words[0]) is None:
            pytest.skip(f"no {words[0]} on this machine")
        text = snippet.text
        if SERVED in text:
            text = text.replace(SERVED, request.getfixturevalue("address"))
            text = text.replace("curl", "curl --silent --show-error --fail")
        subprocess.run(["bash", "-ec", text], check=True)
        return
    for sign, name, mode in (("<", "stdin", "rb"), (">", "stdout", "wb")):
        if sign in words:
            at = words.index(sign)
            stream = (world / words[at + 1]).open(mode)
            monkeypatch.setattr(f"sys.{name}", _Binary(stream))
            del words[at : at + 2]
    try:
        code = main(words[1:])
    except SystemExit as exit:  # Lightning's command line ends so once it has printed
        code = exit.code
    assert not code


class _Binary:
    """A standard stream with a file behind it."""

    def __init__(self, file):
        self.buffer = file

    def __getattr__(self, name):
        return getattr(self.buffer, name)


@pytest.mark.parametrize("snippet", PYTHON, ids=label)
def test_python(snippet: Snippet, world: Path) -> None:
    given = {"batch": torch.rand(1, 3, 64, 64)}
    exec(compile(snippet.text, snippet.page, "exec"), given)


def test_what_runs_elsewhere_is_still_in_the_documentation() -> None:
    for beginning in ELSEWHERE:
        assert any(one.text.startswith(beginning) for one in SHELL), beginning

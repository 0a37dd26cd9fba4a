"""Help and version: quick, and without torch."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from unsmear.cli import options
from unsmear.cli.page import COMMANDS

from .makers import Run

WITHOUT_TORCH = """
import sys
from unsmear.cli.main import main
code = main(sys.argv[1:])
heavy = {"torch", "numpy", "PIL", "lightning"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else code)
"""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], *[[name, "--help"] for name in COMMANDS], ["--box", "x", "y"]],
)
def test_torch_is_not_loaded(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
    )
    assert "loaded" not in ended.stderr
    assert ended.returncode == (2 if "x" in words else 0), ended.stderr


def test_help_loads_little() -> None:
    """So it is quick; `benchmarks/startup.py` tells how quick."""
    count = "\nimport sys; print(len(sys.modules), file=sys.stderr)"
    command = [sys.executable, "-c", f"from unsmear.cli.main import main; main(['--help']){count}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(ended.stderr) < 500


def test_help_is_a_page(run: Run) -> None:
    page = run("--help", plain=True).out
    assert "Usage: unsmear PHOTO... [-o OUT] [OPTIONS]" in page
    for part in ("Examples", "Exit codes", "PHOTO.unsmeared.EXT", "--blur-map", "130"):
        assert part in page
    for name in COMMANDS.keys() - {"deblur"}:
        assert name in page


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"deblur"}))
def test_each_command_has_a_page(name: str, run: Run) -> None:
    assert f"Usage: unsmear {name} " in run(name, "--help", plain=True).out
    assert f"unsmear {name} --help" in run(name, "--nonsense", plain=True).err


def test_no_words_show_help_and_fail(run: Run) -> None:
    ended = run(plain=True)
    assert ended.code == 2
    assert "Usage: unsmear" in ended.err
    assert ended.out == ""


def test_version(run: Run) -> None:
    from unsmear import __version__

    assert run("--version", plain=True).out.startswith(f"unsmear {__version__}")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--version >&-", 0, ""),
        ("missing.png -o x.png >&-", 2, "unsmear: missing.png does not exist: check the name\n"),
        ("- -o x.png <&-", 2, "unsmear: the data is empty: copy it again from where it came\n"),
        ("missing.png 2>&-", 2, ""),
        ("missing.png <&- >&- 2>&-", 2, ""),
    ],
)
def test_a_stream_may_be_closed(line: str, code: int, said: str, tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("wants a POSIX shell")
    ended = subprocess.run(
        f"{shlex.quote(sys.executable)} -m unsmear {line}",
        shell=True, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr, ended.stdout) == (code, said, "")


def test_model_names_are_those_of_the_registry() -> None:
    from unsmear.models import CONFIGS, DEFAULT_MODEL

    assert set(options.MODEL_NAMES) == set(CONFIGS)
    assert options.DEFAULT_MODEL == DEFAULT_MODEL

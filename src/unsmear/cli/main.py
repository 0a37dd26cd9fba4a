"""The command's door: which command is meant, and how every run ends."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

import typer
from typer.core import TyperCommand
from typer.main import get_command

from unsmear.cli.console import STDOUT, complain, warnings_as_lines
from unsmear.cli.page import COMMANDS, PARTS
from unsmear.errors import InputError, UnsmearError

# They look at empty words themselves: to Lightning one may mean something, a key has a sentence.
TAKE_EMPTY_WORDS = ("train", "serve")
BAD_INPUT = 2
INTERRUPTED = 130
CLIPS = re.compile(r"\.(mp4|m4v|mov|mkv|webm|avi|m?ts|m2ts|3gp|flv|mpe?g|wmv|ogv)$", re.IGNORECASE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``unsmear`` and give its exit code.

    Args:
        arguments: the words after the program's name; None takes the process's own.
    """
    _open_closed_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        with contextlib.redirect_stdout(sys.stderr):
            _run("deblur", ["--help"])
        return BAD_INPUT
    # Read when torch loads, for which it is early enough here. Threads that spin while they wait
    # for each other take the cores that they wait for: beside a busy program, 25 times as long.
    # Those that sleep at once take twice as long over many small steps: so they spin a little.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    # A file that is called like a command is reached as ./models.
    default = "video" if _name_a_clip(words) else "deblur"
    name = words.pop(0) if words[0] in COMMANDS else default
    if words and words[0] in PARTS.get(name, ()):
        name = f"{name} {words.pop(0)}"
    with warnings_as_lines():
        return _run(name, words)


def script() -> NoReturn:
    """Run ``unsmear`` and end the process.

    Taking torch down piece by piece would keep the shell waiting for up to half a second. Training
    may have more to put in order than files, so it ends the usual way.
    """
    code = main()
    if "lightning" in sys.modules:
        sys.exit(code)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _open_closed_streams() -> None:
    """Put an empty file where the process was given no stdin, stdout or stderr."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Of the free descriptors it takes the lowest, which is the missing one.
            handle = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, mode))


def _name_a_clip(words: list[str]) -> bool:
    """Whether one of the words, not counting the result's name, is called like a clip."""
    named = [word for last, word in pairwise(["", *words]) if last not in ("-o", "--output")]
    return any(CLIPS.search(word) and not word.startswith("-") for word in named)


def _run(name: str, words: list[str]) -> int:
    """Run one command; whatever a user can cause ends as one sentence and a code."""
    program = "unsmear" if name == "deblur" else f"unsmear {name}"
    try:
        if name not in TAKE_EMPTY_WORDS:
            _refuse_empty(words)
        code = _load(name).main(args=words, prog_name=program, standalone_mode=False)
    except UnsmearError as error:
        complain(error)
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except OSError as error:
        if error.filename == STDOUT:  # what is said there comes after what was done
            complain(f"stdout cannot be written ({error.strerror}): send it elsewhere.")
            _silence_stdout()
            return 1
        complain(f"{error.filename}: {error.strerror}" if error.filename else error)
        return BAD_INPUT
    except Exception as error:
        complain(f"{_usage_sentence(error)} See '{program} --help'.")
        return BAD_INPUT
    if code == INTERRUPTED:
        complain("stopped")
    return code if isinstance(code, int) else 0


def _refuse_empty(words: list[str]) -> None:
    """Refuse a name that is empty: as a path it would stand for the current folder."""
    if any(word == "" or re.fullmatch(r"--[\w-]+=", word) for word in words):
        raise InputError(
            "One of the names given is empty, perhaps a variable that is not set: give one, or "
            "leave it out."
        )


def _load(name: str) -> TyperCommand:
    module = importlib.import_module(f"unsmear.cli.{name.replace(' ', '_')}")
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    paragraphs = inspect.cleandoc(module.command.__doc__).split("\n\n")
    # Lines are joined, so that a terminal of any width wraps them anew.
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    settings = getattr(module, "CONTEXT", None)
    app.command(cls=module.PAGE, help=text.replace("[", r"\["), context_settings=settings)(
        module.command
    )
    command = get_command(app)
    assert isinstance(command, TyperCommand), "an app of one command is that command"
    return command


def _usage_sentence(error: Exception) -> str:
    """What is wrong with the options; raises the error again when it is none of that kind."""
    # Depending on its version typer raises click's classes or its own: all say it this way.
    if not hasattr(error, "format_message"):
        raise error
    sentence = " ".join(str(error.format_message()).split())  # pyright: ignore
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _silence_stdout() -> None:
    """Let Python end without a second complaint when stdout takes nothing more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

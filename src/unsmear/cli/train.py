"""``unsmear train``: a training run from its YAML files."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from unsmear.cli.console import complain, say
from unsmear.cli.page import page
from unsmear.errors import UnsmearError

PAGE = page(
    "CONFIG.yaml... [--fresh] [--SETTING VALUE]...",
    {
        "Examples": {
            "unsmear train configs/lmdvit-tiny.yaml": "the network that comes with the package",
            "unsmear train configs/lmdvit.yaml configs/variants/leff.yaml": (
                "the paper's run with one thing changed: later files win"
            ),
            "unsmear train configs/lmdvit.yaml --trainer.devices 4 --output runs/four": (
                "any setting by name"
            ),
            "unsmear train --settings": "every setting with its meaning, as YAML",
            "unsmear --model runs/four/trained.safetensors photo.jpg": "use what was trained",
        }
    },
)
CONTEXT = {"ignore_unknown_options": True}  # they are Lightning's
STOPPED = 128  # with the signal's number, what a program that a signal ends gives


def command(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONFIG.yaml...", help="The run; see configs/ for examples."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew instead of at the last checkpoint.")
    ] = False,
    settings: Annotated[
        bool, typer.Option("--settings", help="Print every setting with its meaning, and stop.")
    ] = False,
) -> None:
    """Train a network on pairs from disk, or on photos made to move by a synthesizer.

    A run that was stopped goes on from its last checkpoint. Trainer settings are Lightning's: many
    GPUs (--trainer.devices), many machines (--trainer.num_nodes), precision and so on. It needs the
    train extra: pip install 'unsmear[train]'.
    """
    try:
        from unsmear.training.run import StoppedError, train
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("unsmear"):
            raise
        raise UnsmearError(
            f"Training needs {missing.name}, which is not installed: pip install 'unsmear[train]'"
        ) from None
    words = words or []
    files = list(takewhile(lambda word: not word.startswith("--"), words))
    values = words[len(files) :]
    if settings:
        values.append("--print_config=comments")
    elif not files:
        raise UnsmearError(
            "Name the run's YAML file; configs/ holds examples. See 'unsmear train --help'."
        )
    for path in files:
        _check_settings(Path(path))
    arguments = [f"--config={path}" for path in files] + values
    try:
        say(f"{train(arguments, resume=not fresh)}")
    except StoppedError as stop:
        complain(stop)
        raise typer.Exit(STOPPED + stop.signal) from None


def _check_settings(path: Path) -> None:
    """Refuse what holds no settings, by its name: the parser tells no file from another.

    Raises:
        UnsmearError: the file is no YAML, or no mapping of names to values.
    """
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnsmearError(f"{path} is no YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise UnsmearError(f"{path} holds no settings (names with values): see configs/.")

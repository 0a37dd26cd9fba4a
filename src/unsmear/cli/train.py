"""``unsmear train``: a training run from its YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unsmear.cli.console import say
from unsmear.cli.page import page
from unsmear.errors import UnsmearError

PAGE = page(
    "CONFIG.yaml [--fresh]",
    {
        "Examples": {
            "unsmear train configs/lmdvit-tiny.yaml": "the network that comes with the package",
            "unsmear --model runs/mine/lmdvit-tiny.safetensors photo.jpg": "use what was trained",
        }
    },
)


def command(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="The run; see configs/ for examples.")
    ],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew instead of at the last checkpoint.")
    ] = False,
) -> None:
    """Train a network on photos of one's own, made to move by a synthesizer.

    A run that was stopped goes on from its last checkpoint. It needs the train extra:
    pip install 'unsmear[train]'.
    """
    try:
        from unsmear.training import load_config
        from unsmear.training.run import train
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("unsmear"):
            raise
        raise UnsmearError(
            f"Training needs {missing.name}, which is not installed: pip install 'unsmear[train]'"
        ) from None
    say(f"{train(load_config(config), resume=not fresh)}")

"""How help looks: a usage line, what it does, the options in groups, and then examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import ROUNDED
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from typer.core import TyperCommand

COMMANDS = {
    "deblur": "Deblur photos; what happens when no command is named.",
    "video": "Deblur a clip; what happens when the file that is named is one.",
    "models": "List the networks: size, cost, training, measured quality.",
    "info": "Count parameters and multiply-adds for a picture of some size.",
    "bench": "Measure how fast a network is on this machine.",
    "convert": "Turn the authors' released checkpoints into ours, and back.",
    "export": "Write a network as an ONNX file, for onnxruntime and OpenVINO.",
    "train": "Train a network on your own photos.",
    "eval": "Measure networks on pairs of blurred and sharp pictures.",
    "data": "Look data sets over before training, and make some.",
    "mask": "Mark where pictures are blurred, by their sharp twins.",
    "explain": "Draw what a network did with a photo, on one page.",
    "study": "Ask people which restorations they prefer, blind, on a local page.",
    "serve": "Open a page to deblur photos on, and an HTTP API.",
    "demo": "Blur a part of a well-known photo, deblur it, show both.",
}

PARTS = {
    "data": {
        "check": "Find pairs that would spoil training: missing, shifted, in train and test.",
        "synthesize": "Write locally blurred pictures, sharp twins and masks from your photos.",
    },
}
"""The commands that are made of several."""

Section = Mapping[str, str]
"""Left column to right column."""


def page(usage: str, sections: Mapping[str, Section] | None = None) -> type[TyperCommand]:
    """A command whose help has its own usage line and further sections after the options.

    Args:
        usage: the words after the program's name.
        sections: title to rows.
    """

    class Page(TyperCommand):
        """A command with a page of help."""

        def collect_usage_pieces(self, ctx: Any) -> list[str]:
            """Give the usage line's words."""
            return [usage]

        def format_help(self, ctx: Any, formatter: Any) -> None:
            """Print the page."""
            super().format_help(ctx, formatter)
            console = Console(highlight=False)
            for title, rows in (sections or {}).items():
                console.print(_panel(title, rows))

    return Page


def _panel(title: str, rows: Section) -> Panel:
    table = Table.grid(padding=(0, 2))
    # The right column wraps, the left one only when it must.
    table.add_column(style="bold cyan", no_wrap=max(map(len, rows)) < 44)
    table.add_column()
    for left, right in rows.items():
        table.add_row(left, right)
    return Panel(table, title=title, title_align="left", border_style="dim", box=ROUNDED)

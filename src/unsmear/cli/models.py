"""``unsmear models``: what is there."""

from __future__ import annotations

import json as jsonlib
from typing import Any

from unsmear.cli.console import count_in_words, say, size_in_words
from unsmear.cli.options import JsonSwitch
from unsmear.cli.page import page

PAGE = page("[--json]")
MEGAPIXEL = (1024, 1024)


def command(json: JsonSwitch = False) -> None:
    """List the networks that have names.

    The cost is multiply-adds for a picture of 1024x1024 pixels with nothing pruned; with pruning
    it follows the blur ('unsmear info' counts it). Networks without weights in this package need
    a checkpoint: --model FILE. What weights were measured to gain inside the blur, and which share
    of the blurred pixels they find, is of held-out samples; --json tells all their figures.
    """
    from unsmear.models import CONFIGS, DEFAULT_MODEL

    rows = [describe(name) for name in CONFIGS]
    if json:
        say(jsonlib.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Column, Table

    name = Column("model", no_wrap=True)  # to be copied from here, whole
    table = Table(name, "parameters", "cost", "weights", "gain", "finds")
    for row in rows:
        card = row["card"]
        table.add_row(
            row["name"] + (" (default)" if row["name"] == DEFAULT_MODEL else ""),
            count_in_words(row["parameters"]),
            count_in_words(row["multiply_adds_dense"]),
            "none here" if row["weights_bytes"] is None else size_in_words(row["weights_bytes"]),
            _told("{:+.2f} dB", card.get("gain_inside_mask_db")),
            _told("{:.0%}", card.get("blurred_pixels_kept")),
        )
    console = Console()
    console.print(table)
    for row in rows:
        if "trained_on" in row["card"]:
            console.print(f"{row['name']}: trained on {row['card']['trained_on']}.")


def describe(name: str) -> dict[str, Any]:
    """The facts about a named network, for JSON."""
    from unsmear.cli.blueprint import blueprint, card_of
    from unsmear.models import bundled_weights
    from unsmear.models.cost import network_cost

    network, weights = blueprint(name), bundled_weights(name)
    return {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "multiply_adds_dense": network_cost(network, *MEGAPIXEL).dense,
        "weights": None if weights is None else str(weights),
        "weights_bytes": None if weights is None else weights.stat().st_size,
        "card": {} if weights is None else card_of(weights),
    }


def _told(form: str, figure: float | None) -> str:
    return "-" if figure is None else form.format(figure)

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
    a checkpoint: --model FILE.
    """
    from unsmear.models import CONFIGS, DEFAULT_MODEL

    rows = [describe(name) for name in CONFIGS]
    if json:
        say(jsonlib.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Column, Table

    name = Column("model", no_wrap=True)  # to be copied from here, whole
    table = Table(name, "parameters", "cost", "weights", "trained on", "measured")
    for row in rows:
        table.add_row(
            row["name"] + (" (default)" if row["name"] == DEFAULT_MODEL else ""),
            count_in_words(row["parameters"]),
            count_in_words(row["multiply_adds_dense"]),
            "none here" if row["weights_bytes"] is None else size_in_words(row["weights_bytes"]),
            str(row["card"].get("trained_on", "-")),
            "\n".join(_measured(row["card"])) or "-",
        )
    Console().print(table)


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


def _measured(card: dict[str, Any]) -> list[str]:
    """The card's figures, a line each."""
    figures = {name: value for name, value in card.items() if isinstance(value, int | float)}
    return [f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items()]

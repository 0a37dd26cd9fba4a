"""``unsmear info``: what a network costs on a picture of some size."""

from __future__ import annotations

import json as jsonlib
import re
from typing import Annotated, Any

import typer

from unsmear.cli.console import count_in_words, say
from unsmear.cli.options import DEFAULT_MODEL, JsonSwitch
from unsmear.cli.page import page
from unsmear.errors import InputError

PAGE = page(
    "[MODEL] [--size WxH] [--json]",
    {
        "Examples": {
            "unsmear info lmdvit": "the paper's network at the paper's size",
            "unsmear info my.safetensors --size 6000x4000": "a checkpoint of one's own",
        }
    },
)
SHARES = (0.0, 0.1, 0.33, 1.0)
BUDGETS = (-0.5, -0.1, 0.1, 0.2, 1.0)


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, or a checkpoint file.")
    ] = DEFAULT_MODEL,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Width and height of the picture.")
    ] = "2152x1436",
    json: JsonSwitch = False,
) -> None:
    """Count a network's parameters and the multiply-adds it takes.

    A dense network computes every window; a pruned one as many as the blur asks for, here none, a
    tenth, a third and all of them in every stage. One that samples pixels takes more or less with
    its budget.
    """
    width, height = parse_size(size)
    figures = count(model, width, height)
    if json:
        say(jsonlib.dumps(figures, indent=2))
        return
    dense = figures["multiply_adds_dense"]
    say(f"model          {model}")
    say(f"parameters     {figures['parameters']:,}")
    say(f"picture        {width} x {height}")
    say(f"multiply-adds  {count_in_words(dense)} dense")
    for row in figures["pruned"]:
        kept, spent = row["kept"], row["multiply_adds"]
        say(
            f"{'':15}{count_in_words(spent)} with {kept:.0%} of the windows kept "
            f"({spent / dense:.0%} of dense)"
        )
    for row in figures["budgets"]:
        spent = row["multiply_adds"]
        say(f"{'':15}{count_in_words(spent)} with a budget of {row['budget']:+.0%}")


def parse_size(text: str) -> tuple[int, int]:
    """Read "2152x1436" as width and height.

    Raises:
        InputError: It is no such thing.
    """
    match = re.fullmatch(r"\s*(\d+)\s*[xX*,]\s*(\d+)\s*", text)
    if match is None or not (0 < int(match[1]) < 10**6 and 0 < int(match[2]) < 10**6):
        raise InputError(f"--size wants width x height in pixels, such as 2152x1436; got {text!r}.")
    return int(match[1]), int(match[2])


def count(model: str, width: int, height: int) -> dict[str, Any]:
    """Parameters and multiply-adds, for JSON."""
    from unsmear.cli.blueprint import blueprint
    from unsmear.models.cost import network_cost

    network = blueprint(model)
    cost = network_cost(network, height, width)
    decided = {stage for stage, _ in network.predictor_places}

    def pruned(share: float) -> int:
        """Multiply-adds with a share of the windows kept in every stage that prunes."""
        shares = (share if stage in decided else 1.0 for stage in range(1, len(cost.stages) + 1))
        return cost.spent([(each, each) for each in shares])

    def budgeted(budget: float) -> int:
        return network_cost(network, height, width, budget).dense

    budgets = BUDGETS if network.takes_budget else ()
    return {
        "model": model,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "width": width,
        "height": height,
        "multiply_adds_dense": cost.dense,
        "pruned": [{"kept": s, "multiply_adds": pruned(s)} for s in SHARES if decided],
        "budgets": [{"budget": b, "multiply_adds": budgeted(b)} for b in budgets],
    }

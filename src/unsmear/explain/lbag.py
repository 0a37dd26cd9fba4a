"""What LBAG did: how far its gates opened at each of its three sizes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unsmear.explain.colours import heat, spread
from unsmear.explain.figure import Figure, before_and_after
from unsmear.models.lbag import LBAG

SIDES = {4: "a quarter of the size", 2: "half of the size", 1: "full size"}


def draw(network: LBAG, photo: Tensor, options: Mapping[str, float]) -> list[Figure]:
    """Run the network on [1, 3, H, W] and draw the result."""
    out = network(photo, **options)
    gates = zip((*out.stage_gates, out.gate), SIDES.items(), strict=True)
    return [
        *before_and_after(photo, out.restored),
        *(
            Figure(
                f"gate-{side}",
                f"Gate at {words}",
                f"Share of the change that is let through, {float(gate.mean()):.2f} on average and "
                f"at least {network.config.lowest_gate:g}. Dark is 0, light 1.",
                heat(spread(gate, side, photo), photo),
                "Gates",
            )
            for gate, (side, words) in gates
        ),
    ]

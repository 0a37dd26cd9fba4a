"""Networks without weights, for counting, and what a checkpoint says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from unsmear.models import CONFIGS, create_model, load_model

if TYPE_CHECKING:
    from unsmear.models import DeblurringNetwork

_CARD = "unsmear.card"


def blueprint(model: str) -> DeblurringNetwork:
    """A network to count on: shapes without values for a name, else the checkpoint's.

    Raises:
        ModelError: No such name or checkpoint.
    """
    if model not in CONFIGS:
        return load_model(model)
    with torch.device("meta"):
        return create_model(model)


def card_of(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint tells of its training and quality; empty where it tells nothing."""
    try:
        with safe_open(checkpoint, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get(_CARD, "{}"))
    except (SafetensorError, OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}

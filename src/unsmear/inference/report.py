"""The figures of one restoration."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class KeptWindows:
    """Decisions of one predictor.

    Attributes:
        stage: 1 to 9.
        shift: of its windows, in tokens of the stage.
        kept: windows it kept.
        windows: windows it judged.
    """

    stage: int
    shift: int
    kept: int
    windows: int


@dataclass(frozen=True)
class Report:
    """What was found and done.

    Attributes:
        width: of the picture in pixels.
        height: likewise.
        blurred_fraction: share of pixels in windows that were kept as blurred.
        touched_fraction: share of pixels that changed.
        kept_windows: decisions of each predictor.
        multiply_adds_dense: what the network would take with every window kept; of one that
            samples pixels, within the plain budget.
        multiply_adds_spent: what it took.
        seconds: for the network and the composite, without reading and writing files.
        model: name or path.
        device: where it ran.
        dtype: number type of the network.
        tiles: 1 for a picture computed whole.
        version: of this package.
        warnings: what the user should know.
    """

    width: int
    height: int
    blurred_fraction: float
    touched_fraction: float
    kept_windows: tuple[KeptWindows, ...]
    multiply_adds_dense: int
    multiply_adds_spent: int
    seconds: float
    model: str
    device: str
    dtype: str
    tiles: int
    version: str
    warnings: tuple[str, ...] = field(default=())

    @property
    def multiply_adds_saved(self) -> int:
        """What pruning or a lower budget saved."""
        return self.multiply_adds_dense - self.multiply_adds_spent

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**dataclasses.asdict(self), "multiply_adds_saved": self.multiply_adds_saved}

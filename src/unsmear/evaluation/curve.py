"""Quality against cost, drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unsmear.evaluation.run import Run
from unsmear.evaluation.settings import stages_in_words
from unsmear.plot import Panel, Point, draw

PANELS = {"psnr": "PSNR in dB", "wpsnr": "weighted PSNR in dB"}


def draw_curve(runs: Sequence[Run]) -> str:
    """PSNR and weighted PSNR of all runs against the multiply-adds they spent: an SVG file's text.

    Runs of one model are joined; a panel without any figure is left out.
    """
    panels = [
        Panel(title, "multiply-adds of one picture, in G", _lines(runs, field))
        for field, title in PANELS.items()
    ]
    return draw([panel for panel in panels if panel.lines])


def _lines(runs: Sequence[Run], field: str) -> dict[str, list[Point]]:
    lines: dict[str, list[Point]] = {}
    for run in runs:
        quality = getattr(run.mean, field)
        if math.isfinite(quality):
            told = f"{run.name}: {_label(run)}, {quality:.2f} dB"
            point = Point(run.cost.multiply_adds_spent / 1e9, quality, told)
            lines.setdefault(run.name, []).append(point)
    return lines


def _label(run: Run) -> str:
    if run.setting is None:
        return run.name
    if run.setting.budget is not None:
        return f"budget {run.setting.budget:+.0%}"
    stages = stages_in_words(run.setting.pruned_stages or ())
    if run.setting.dense or stages == "none":
        return "nothing pruned"
    return f"stages {stages}, threshold {run.setting.threshold:g}"

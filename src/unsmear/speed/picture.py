"""Time over the share of windows kept, drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from unsmear.plot import Panel, Point, draw
from unsmear.speed.comparison import Comparison


def draw_times(results: Sequence[Comparison]) -> str:
    """A panel for each comparison, a line for each path: an SVG file's text."""
    return draw([_panel(result) for result in results])


def _panel(result: Comparison) -> Panel:
    lines: dict[str, list[Point]] = {}
    for row in result.rows:
        for path, seconds in row.seconds.items():
            told = f"{path}: {row.share:.0%} kept, {seconds:.3f} s"
            lines.setdefault(path, []).append(Point(100 * row.share, seconds, told))
    task = result.task
    title = f"seconds, {task.model}, {task.width} x {task.height}, {task.dtype}"
    return Panel(title, "windows kept, in %", lines)

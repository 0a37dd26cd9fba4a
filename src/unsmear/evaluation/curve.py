"""Quality against cost, drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from unsmear.evaluation.run import Run
from unsmear.evaluation.settings import stages_in_words

WIDTH, HEIGHT = 480, 300  # of a panel, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 30, 44  # its margins
COLOURS = ("#1f6fb2", "#d1622b", "#2f8f4e", "#8a4fb0", "#b03a5b", "#6b6b6b")
TICKS = 4


class Point(NamedTuple):
    """One run in a panel.

    Attributes:
        cost: multiply-adds of one picture.
        quality: dB.
        label: what the setting was.
    """

    cost: float
    quality: float
    label: str


Lines = dict[str, list[Point]]
"""Points of each model, joined by a line in the order of their cost."""


def draw_curve(runs: Sequence[Run]) -> str:
    """PSNR and weighted PSNR of all runs against the multiply-adds they spent: an SVG file's text.

    Runs of one model are joined; a panel without any figure is left out.
    """
    panels = []
    for title, field in (("PSNR in dB", "psnr"), ("weighted PSNR in dB", "wpsnr")):
        lines = _lines(runs, field)
        if lines:
            panels.append(_panel(title, lines, len(panels) * WIDTH))
    width = max(1, len(panels)) * WIDTH
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="11" fill="#444">\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _lines(runs: Sequence[Run], field: str) -> Lines:
    lines: Lines = {}
    for run in runs:
        quality = getattr(run.mean, field)
        if math.isfinite(quality):
            point = Point(run.cost.multiply_adds_spent, quality, _label(run))
            lines.setdefault(run.name, []).append(point)
    return {name: sorted(points) for name, points in lines.items()}


def _label(run: Run) -> str:
    if run.setting is None:
        return run.name
    if run.setting.budget is not None:
        return f"budget {run.setting.budget:+.0%}"
    stages = stages_in_words(run.setting.pruned_stages or ())
    if run.setting.dense or stages == "none":
        return "nothing pruned"
    return f"stages {stages}, threshold {run.setting.threshold:g}"


def _panel(title: str, lines: Lines, offset: int) -> str:
    points = [point for line in lines.values() for point in line]
    across = _Axis([point.cost for point in points], offset + LEFT, offset + WIDTH - RIGHT)
    up = _Axis([point.quality for point in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<text x="{across.start}" y="16" font-size="13">{title}</text>',
        _text(across.end, HEIGHT - 8, "multiply-adds of one picture, in G"),
    ]
    for value in across.ticks():
        x = across.place(value)
        parts.append(_rule(x, up.start, x, up.end))
        parts.append(_text(x + 12, up.start + 15, f"{value / 1e9:.4g}"))
    for value in up.ticks():
        y = up.place(value)
        parts.append(_rule(across.start, y, across.end, y))
        parts.append(_text(across.start - 6, y + 4, f"{value:.2f}"))
    for number, (name, line) in enumerate(lines.items()):
        parts += _drawn(name, line, across, up, COLOURS[number % len(COLOURS)])
    return "\n".join(parts)


def _drawn(name: str, line: list[Point], across: _Axis, up: _Axis, colour: str) -> Iterator[str]:
    """A model's line, its points with what they stand for, and its name."""
    placed = [(across.place(point.cost), up.place(point.quality)) for point in line]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for point, (x, y) in zip(line, placed, strict=True):
        told = escape(f"{name}: {point.label}, {point.quality:.2f} dB")
        at = f'cx="{x:.1f}" cy="{y:.1f}" r="4"'
        yield f'<circle {at} fill="{colour}"><title>{told}</title></circle>'
    x, y = placed[-1]
    yield _text(x, y - 8, escape(name), colour)


class _Axis:
    """Values to places, with a tenth of the range left free at both ends."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        room = (high - low) / 10 or abs(high) / 100 or 1.0
        self.low, self.high = low - room, high + room
        self.start, self.end = start, end

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        return [
            self.low + (self.high - self.low) * (number + 0.5) / TICKS for number in range(TICKS)
        ]


def _text(x: float, y: float, words: str, colour: str = "#444") -> str:
    """Words that end at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="end" fill="{colour}">{words}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'

"""Points joined by lines, in panels side by side, drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 480, 300  # of a panel, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 30, 44  # its margins
COLOURS = ("#1f6fb2", "#d1622b", "#2f8f4e", "#8a4fb0", "#b03a5b", "#6b6b6b")
MOST_TICKS = 6


class Point(NamedTuple):
    """One measurement.

    Attributes:
        x: across.
        y: up.
        label: shown when the pointer rests on it.
    """

    x: float
    y: float
    label: str


class Panel(NamedTuple):
    """One plot.

    Attributes:
        title: what is drawn upwards, above it.
        across: what is drawn across, below it.
        lines: name to points, which are joined in the order of x.
    """

    title: str
    across: str
    lines: dict[str, list[Point]]


def draw(panels: Sequence[Panel]) -> str:
    """Draw panels side by side: an SVG file's text."""
    width = max(1, len(panels)) * WIDTH
    drawn = [_panel(panel, number * WIDTH) for number, panel in enumerate(panels)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="11" fill="#444">\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _panel(panel: Panel, offset: int) -> str:
    points = [point for line in panel.lines.values() for point in line]
    across = _Axis([point.x for point in points], offset + LEFT, offset + WIDTH - RIGHT)
    up = _Axis([point.y for point in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<text x="{across.start}" y="16" font-size="13">{escape(panel.title)}</text>',
        _text(across.end, HEIGHT - 8, escape(panel.across)),
    ]
    for value, number in across.ticks():
        x = across.place(value)
        parts.append(_rule(x, up.start, x, up.end))
        parts.append(_text(x + 12, up.start + 15, number))
    for value, number in up.ticks():
        y = up.place(value)
        parts.append(_rule(across.start, y, across.end, y))
        parts.append(_text(across.start - 6, y + 4, number))
    for number, (name, line) in enumerate(panel.lines.items()):
        parts += _line(name, sorted(line), across, up, COLOURS[number % len(COLOURS)])
    return "\n".join(parts)


def _line(name: str, line: list[Point], across: _Axis, up: _Axis, colour: str) -> Iterator[str]:
    """A line, its points with what they stand for, and its name."""
    placed = [(across.place(point.x), up.place(point.y)) for point in line]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for point, (x, y) in zip(line, placed, strict=True):
        at = f'cx="{x:.1f}" cy="{y:.1f}" r="4"'
        yield f'<circle {at} fill="{colour}"><title>{escape(point.label)}</title></circle>'
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

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Round values within the range, and how to write them: steps of 1, 2 or 5 times 10^n."""
        least = (self.high - self.low) / MOST_TICKS
        power = math.floor(math.log10(least))
        step = next(each for each in (1, 2, 5, 10) if each * 10.0**power >= least)
        if step == 10:
            step, power = 1, power + 1
        size, decimals = step * 10.0**power, max(0, -power)
        for number in range(math.ceil(self.low / size), math.floor(self.high / size) + 1):
            yield number * size, f"{number * size:.{decimals}f}"


def _text(x: float, y: float, words: str, colour: str = "#444") -> str:
    """Words that end at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="end" fill="{colour}">{words}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'

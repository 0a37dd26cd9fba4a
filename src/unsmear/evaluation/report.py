"""The report: one HTML file with everything in it."""

from __future__ import annotations

from importlib import resources

import jinja2

from unsmear import __version__
from unsmear.evaluation.comparison import Evaluation
from unsmear.evaluation.curve import draw_curve
from unsmear.evaluation.gallery import COLOURS
from unsmear.evaluation.quality import CONVENTIONS
from unsmear.evaluation.sheets import pictures_sheet, sheets


def make_report(evaluation: Evaluation) -> str:
    """Text of an HTML page: tables, the curve of several runs, the worst pictures, conventions."""
    template = resources.files("unsmear.evaluation") / "report.html.jinja"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    galleries = [
        (run.name, exhibits, pictures_sheet(run))
        for run, exhibits in zip(evaluation.runs, evaluation.exhibits, strict=True)
        if exhibits
    ]
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        version=__version__,
        evaluation=evaluation,
        sheets=sheets(evaluation),
        curve=draw_curve(evaluation.runs) if len(evaluation.runs) > 1 else None,
        galleries=galleries,
        colours=["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS],
        conventions=CONVENTIONS,
    )

"""One HTML page with all figures in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import groupby

import jinja2

from unsmear import __version__
from unsmear.explain.colours import ANCHORS, MARK
from unsmear.explain.figure import Figure
from unsmear.images import Picture, encode_picture


def make_page(title: str, facts: Mapping[str, str], figures: Sequence[Figure]) -> str:
    """Text of an HTML page that needs no other file; its pictures are JPEG, to keep it small.

    Args:
        title: such as the photo's name.
        facts: name to value, said at the top.
        figures: in order; neighbours of one section stand under one heading.
    """
    template = resources.files("unsmear.explain") / "page.html.jinja"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    sections = [
        (heading, [(figure, _uri(figure)) for figure in group])
        for heading, group in groupby(figures, lambda figure: figure.section)
    ]
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        version=__version__,
        title=title,
        facts=facts,
        sections=sections,
        heat=", ".join(map(_hex, ANCHORS)),
        mark=_hex(MARK),
    )


def _uri(figure: Figure) -> str:
    coded = base64.b64encode(encode_picture(Picture.from_array(figure.picture), "JPEG"))
    return f"data:image/jpeg;base64,{coded.decode('ascii')}"


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)

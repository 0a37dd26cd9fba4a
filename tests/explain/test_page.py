import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from unsmear.explain import Figure, make_page
from unsmear.explain.colours import ANCHORS

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Collects tags and checks that each is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def figures():
    smooth = np.linspace(0, 255, 40 * 56 * 3).reshape(40, 56, 3)
    return [
        Figure(f"figure{number}", f"Figure {number} < 3", "Light & dark.", picture, section)
        for number, (picture, section) in enumerate(
            (each.astype(np.uint8), section)
            for each, section in ((smooth, "One"), (255 - smooth, "One"), (smooth / 2, "Two"))
        )
    ]


def test_the_page_holds_every_figure(figures):
    page = Page(make_page("a <b>.jpg", {"Network": "tiny"}, figures))
    images = page.all("img")
    assert [image["alt"] for image in images] == [figure.title for figure in figures]
    for image, figure in zip(images, figures, strict=True):
        kind, coded = image["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))))
        assert np.abs(shown.astype(int) - figure.picture).mean() < 3
        assert (image["width"], image["height"]) == ("56", "40")
    assert [figure["id"] for figure in page.all("figure")] == [figure.name for figure in figures]
    words = " ".join(page.words)
    for expected in ("a <b>.jpg", "tiny", "Figure 2 < 3", "Light & dark."):
        assert expected in words


def test_the_page_needs_no_other_file(figures):
    text = make_page("photo.jpg", {}, figures)
    page = Page(text)
    assert page.all("script") == []
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "url(" not in text
    assert "@import" not in text


def test_sections_are_headings_that_links_lead_to(figures):
    page = Page(make_page("photo.jpg", {}, figures))
    targets = [heading["id"] for heading in page.all("h2")]
    assert [link["href"] for link in page.all("a")] == [f"#{target}" for target in targets]
    assert [word for word in page.words if word in ("One", "Two")] == ["One", "Two"] * 2


def test_the_key_shows_the_colours_of_the_maps(figures):
    text = make_page("photo.jpg", {}, figures)
    assert ", ".join("#{:02x}{:02x}{:02x}".format(*each) for each in ANCHORS) in text

"""The page and the curve: parsed, and their pictures decoded."""

from __future__ import annotations

import base64
import io
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from unsmear.evaluation import (
    Evaluation,
    FunctionRestorer,
    NetworkRestorer,
    Setting,
    compare,
    draw_curve,
    make_report,
)
from unsmear.evaluation.gallery import AMPLIFIED, COLOURS, Gallery

from .makers import make_pairs, opened, stored


class Page(HTMLParser):
    """Pictures with their captions, headings, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[tuple[str, Image.Image]] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.outside += [found[name] or "" for name in ("href", "src") if name in found]
        if tag == "img":
            kind, _, coded = (found["src"] or "").partition(";base64,")
            assert kind in ("data:image/jpeg", "data:image/png")
            image = Image.open(io.BytesIO(base64.b64decode(coded, validate=True)))
            image.load()
            self.pictures.append((found["alt"] or "", image))
        elif tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h3":
            self.headings.append(data)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="module")
def evaluation(tiny: Path, shown: Path) -> Evaluation:
    openers = [
        partial(NetworkRestorer, tiny, Setting(threshold), device="cpu", dtype="float32")
        for threshold in (0.45, 0.5)
    ]
    openers.append(lambda: FunctionRestorer("<rival>", lambda picture: picture * 0.9))
    return compare("my <data>", opened(shown), openers, pictures=True)


def test_the_page_shows_everything(evaluation: Evaluation) -> None:
    text = make_report(evaluation)
    page = Page(text)
    assert page.open == []
    assert all(place.startswith("data:") for place in page.outside)
    captions = [caption for caption, _ in page.pictures]
    exhibits = 2 * 3  # three pictures, for the network's first setting and for the rival
    for caption in ("input", "restored", "sharp", f"restored - sharp, x{AMPLIFIED}", "blur mask"):
        assert captions.count(caption) == exhibits
    predictors = len(evaluation.runs[0].stages)
    assert sum(caption.startswith("stage") for caption in captions) == 3 * predictors
    assert "my &lt;data&gt;" in text
    assert "&lt;rival&gt;" in text
    assert "<rival>" not in text
    assert "pictures with an empty mask" in text  # the conventions


def test_the_worst_come_first(evaluation: Evaluation) -> None:
    page = Page(make_report(evaluation))
    gains = sorted((image.gain, image.name) for image in evaluation.runs[0].images)
    assert page.headings[:3] == [f"{name}: {gain:+.2f} dB" for gain, name in gains]


def test_pictures_are_the_pictures(evaluation: Evaluation, shown: Path) -> None:
    page = Page(make_report(evaluation))
    name = page.headings[0].partition(":")[0]
    first = dict(reversed(page.pictures[:5]))
    for caption, part in (("input", "blur"), ("sharp", "sharp")):
        error = np.abs(np.asarray(first[caption]) / 255 - stored(shown, f"{name}_{part}"))
        assert error.mean() < 0.03
    mask = np.asarray(first["blur mask"].convert("RGB"))
    inside = stored(shown, f"{name}_mask") > 0
    assert np.array_equal((mask == COLOURS[1]).all(axis=2), inside)


def test_only_the_worst_ten_are_kept(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs", [True] * 4)
    gallery = Gallery(most=2)
    samples = opened(pairs)
    from unsmear.evaluation import evaluate

    run = evaluate(FunctionRestorer("darker", lambda x: x * 0.8), samples, watch=gallery)
    worst = sorted(run.images, key=lambda image: image.gain)[:2]
    assert [exhibit.figures for exhibit in gallery.exhibits] == worst


def test_the_curve_has_a_point_a_run(evaluation: Evaluation) -> None:
    space = "{http://www.w3.org/2000/svg}"
    drawing = ElementTree.fromstring(draw_curve(evaluation.runs))
    points = drawing.findall(f"{space}circle")
    assert len(points) == 2 * 3  # two panels
    assert len(drawing.findall(f"{space}polyline")) == 2 * 2
    told = [point.findtext(f"{space}title") or "" for point in points]
    run = evaluation.runs[0]
    assert any(f"threshold 0.45, {run.mean.psnr:.2f} dB" in each for each in told)
    # More multiply-adds lie further right, more dB further up.
    first, rival = (_point(points[:3], evaluation, number) for number in (0, 2))
    spent = [evaluation.runs[number].cost.multiply_adds_spent for number in (0, 2)]
    assert (first[0] > rival[0]) == (spent[0] > spent[1])
    decibels = [evaluation.runs[number].mean.psnr for number in (0, 2)]
    assert (first[1] < rival[1]) == (decibels[0] > decibels[1])


def _point(
    points: list[ElementTree.Element], evaluation: Evaluation, number: int
) -> tuple[float, float]:
    """Where a run's point lies in the first panel."""
    setting = evaluation.runs[number].setting
    label = f"threshold {setting.threshold}," if setting else evaluation.runs[number].name
    (point,) = (each for each in points if label in (each[0].text or ""))
    return float(point.attrib["cx"]), float(point.attrib["cy"])

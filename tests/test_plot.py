from xml.etree import ElementTree

import pytest

from unsmear.plot import LEFT, WIDTH, Panel, Point, draw


def points(drawing):
    return [each for each in ElementTree.fromstring(drawing).iter() if each.tag.endswith("circle")]


def test_points_lie_where_their_values_say():
    drawing = draw([Panel("up", "across", {"a": [Point(2, 10, "late"), Point(1, 0, "soon")]})])
    late, soon = points(drawing)[::-1]
    assert (late[0].text, soon[0].text) == ("late", "soon")
    assert float(late.get("cx")) > float(soon.get("cx"))
    assert float(late.get("cy")) < float(soon.get("cy"))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, ["0", "20", "40", "60", "80", "100"]),
        (20.287, 20.293, ["20.288", "20.290", "20.292"]),
        (-0.3, 0.3, ["-0.2", "0.0", "0.2"]),
        (7, 7, ["6.95", "7.00", "7.05"]),
    ],
)
def test_numbers_beside_the_axis_are_round_and_differ(low, high, expected):
    line = [Point(0, low, ""), Point(1, high, "")]
    drawing = ElementTree.fromstring(draw([Panel("", "", {"": line})]))
    words = [each for each in drawing.iter() if each.tag.endswith("text")]
    left = [each.text for each in words if each.get("x") == f"{LEFT - 6:.1f}"]
    assert left == expected


def test_panels_stand_side_by_side():
    panel = Panel("up", "across", {"a": [Point(1, 1, "one")]})
    first, second = points(draw([panel, panel]))
    assert float(second.get("cx")) - float(first.get("cx")) == WIDTH


def test_names_cannot_break_the_drawing():
    drawing = draw([Panel("<&>", "<&>", {"<&>": [Point(1, 1, "<&>")]})])
    assert points(drawing)[0][0].text == "<&>"


def test_nothing_to_draw_is_still_a_drawing():
    assert points(draw([])) == []

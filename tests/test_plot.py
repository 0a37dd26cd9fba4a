from xml.etree import ElementTree

from unsmear.plot import WIDTH, Panel, Point, draw


def points(drawing):
    return [each for each in ElementTree.fromstring(drawing).iter() if each.tag.endswith("circle")]


def test_points_lie_where_their_values_say():
    drawing = draw([Panel("up", "across", {"a": [Point(2, 10, "late"), Point(1, 0, "soon")]})])
    late, soon = points(drawing)[::-1]
    assert (late[0].text, soon[0].text) == ("late", "soon")
    assert float(late.get("cx")) > float(soon.get("cx"))
    assert float(late.get("cy")) < float(soon.get("cy"))


def test_panels_stand_side_by_side():
    panel = Panel("up", "across", {"a": [Point(1, 1, "one")]})
    first, second = points(draw([panel, panel]))
    assert float(second.get("cx")) - float(first.get("cx")) == WIDTH


def test_names_cannot_break_the_drawing():
    drawing = draw([Panel("<&>", "<&>", {"<&>": [Point(1, 1, "<&>")]})])
    assert points(drawing)[0][0].text == "<&>"


def test_nothing_to_draw_is_still_a_drawing():
    assert points(draw([])) == []

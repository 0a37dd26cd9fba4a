import pytest

from unsmear.web.page_desk import Desk, GoneError, Leaf


def leaf(size: int = 10) -> Leaf:
    return Leaf(bytes(size), "image/png", "a.png")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_put_is_found_under_its_own_name() -> None:
    desk, leaves = Desk(), [leaf(), leaf()]
    names = [desk.put(each) for each in leaves]
    assert names[0] != names[1]
    assert [desk.get(name) for name in names] == leaves
    with pytest.raises(GoneError, match="drop it again"):
        desk.get("another")


def test_room_is_made_where_nobody_looked_for_longest() -> None:
    desk = Desk(room=25)
    first, second = desk.put(leaf()), desk.put(leaf())
    desk.get(first)
    third = desk.put(leaf())
    for name in (first, third):
        desk.get(name)
    with pytest.raises(GoneError):
        desk.get(second)


def test_the_newest_stays_however_large() -> None:
    desk = Desk(room=25)
    small, large = desk.put(leaf()), desk.put(leaf(100))
    assert len(desk.get(large).data) == 100
    with pytest.raises(GoneError):
        desk.get(small)


def test_what_nobody_asks_for_is_forgotten() -> None:
    clock = Clock()
    desk = Desk(patience=60, clock=clock)
    asked, left = desk.put(leaf()), desk.put(leaf())
    clock.now = 50
    desk.get(asked)
    clock.now = 100
    desk.get(asked)
    with pytest.raises(GoneError):
        desk.get(left)

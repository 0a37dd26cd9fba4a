import numpy as np
import pytest

from unsmear.errors import InputError
from unsmear.inference import Steering


def test_mask_and_boxes_join():
    mask = np.zeros((10, 20), dtype=bool)
    mask[9, 19] = True
    region = Steering(mask=mask, boxes=((0, 0, 3, 2), (18, 5, 100, 1))).region(10, 20)
    assert region.sum() == 1 + 6 + 2
    assert Steering().region(10, 20) is None


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"threshold": 1.2}, "threshold"),
        ({"strength": -0.1}, "strength"),
        ({"mask": np.full((5, 5), 255, np.uint8)}, "mask holds uint8"),
        ({"boxes": ((0, 0, 0, 5),)}, "box"),
        ({"mask": [[True, False]]}, "mask.*list"),
        ({"mask": "subject.png"}, "mask.*str"),
        ({"boxes": ((-1, 0, 5, 5),)}, "box"),
        ({"boxes": (0, 0, 5, 5)}, "box.*got 0"),
        ({"boxes": ((0, 0, 5),)}, "box"),
        ({"boxes": 5}, "box.*got 5"),
        ({"boxes": np.zeros((0, 4), bool)[None]}, "box"),
        ({"boxes": ((0.5, 0, 5, 5),)}, "box"),
        ({"boxes": (("0", "0", "5", "5"),)}, "box"),
        ({"threshold": "0.4"}, "threshold"),
        ({"strength": None}, "strength"),
    ],
)
def test_impossible_wishes_are_refused(wishes, says):
    with pytest.raises(InputError, match=says):
        Steering(**wishes)


@pytest.mark.parametrize(
    "boxes",
    [
        [np.array([1, 2, 3, 4])],
        np.array([[1, 2, 3, 4]]),
        zip([1], [2], [3], [4], strict=True),
        (np.array([1, 2, 3, 4], np.uint8) for _ in "1"),
    ],
    ids=["arrays", "array", "zip", "generator"],
)
def test_boxes_come_in_any_form(boxes):
    steering = Steering(boxes=boxes)
    for _ in "12":
        assert steering.region(10, 10).sum() == 12


def test_boxes_of_narrow_numbers_reach_as_far_as_they_say():
    box = np.array([200, 200, 100, 100], np.uint8)
    assert Steering(boxes=(box,)).region(400, 400).sum() == 100 * 100


def test_wishes_that_miss_the_picture_are_refused():
    with pytest.raises(InputError, match="resize the mask"):
        Steering(mask=np.ones((5, 5), dtype=bool)).region(10, 20)
    with pytest.raises(InputError, match="outside"):
        Steering(boxes=((20, 0, 5, 5),)).region(10, 20)

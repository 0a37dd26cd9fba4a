"""What is refused by its length and header alone."""

from __future__ import annotations

import pytest

from unsmear.errors import InputError
from unsmear.web.limits import Limits
from unsmear.web.problems import TooLargeError, UnsupportedError

from .makers import photo

DATA = photo((72, 56))


def test_a_picture_within_the_limits_tells_its_size():
    exact = Limits(max_bytes=len(DATA), max_pixels=72 * 56, max_side=72)
    assert exact.check(DATA) == (72, 56)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_bytes=len(DATA) - 1),
        Limits(max_pixels=72 * 56 - 1),
        Limits(max_side=71),
    ],
    ids=["bytes", "pixels", "side"],
)
def test_one_more_than_a_limit_is_too_large(limits):
    with pytest.raises(TooLargeError, match="more than"):
        limits.check(DATA)


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "empty"), (b"hello", "not a picture"), (b"GIF89a", "a GIF"), (b"<svg", "SVG")],
)
def test_what_is_no_picture_is_not_supported(data, why):
    with pytest.raises(UnsupportedError, match=f"The mask .*{why}"):
        Limits().check(data, "The mask")


def test_a_damaged_header_is_left_to_the_decoder():
    assert Limits().check(photo(format="JPEG")[:20]) is None


@pytest.mark.parametrize(
    "wrong", [{"max_bytes": 0}, {"max_pixels": 0}, {"max_side": -1}, {"timeout": 0}, {"queue": -1}]
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError):
        Limits(**wrong)


@pytest.mark.parametrize("timeout", ["nan", "inf"])
def test_a_timeout_that_is_no_number_is_refused(timeout):
    with pytest.raises(InputError, match=f"seconds, got {timeout}"):
        Limits(timeout=float(timeout))

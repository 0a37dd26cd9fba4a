import pytest

from unsmear.web.page_words import as_sentence, figures, percent, what_happened


def report(**others: object) -> dict:
    plain = {
        "width": 640,
        "height": 480,
        "blurred_fraction": 0.1,
        "touched_fraction": 0.12,
        "kept_windows": ({"stage": 4},),
        "multiply_adds_dense": 1000,
        "multiply_adds_spent": 600,
        "seconds": 1.25,
        "model": "lmdvit-tiny",
        "device": "cpu",
        "warnings": (),
    }
    return plain | others


def said(changed: bool, painted: bool = False, strength: float = 1, **others: object) -> str:
    return what_happened(report(**others), changed=changed, painted=painted, strength=strength)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (0.0001, "<0.1 %"),
        (0.034, "3.4 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.12, "12 %"),
        (1.0, "100 %"),
    ],
)
def test_shares_are_said_for_people(share: float, words: str) -> None:
    assert percent(share) == words


def test_what_changed_is_said() -> None:
    blurred = "12 % of the picture was blurred; nothing else changed."
    assert said(True, blurred_fraction=0.12) == blurred
    assert said(True, blurred_fraction=0.3) == (
        "30 % of the picture was blurred and 12 % changed; nothing else did."
    )
    unsaid = "12 % of the picture changed; nothing else did."
    assert said(True, kept_windows=(), blurred_fraction=1.0) == unsaid
    assert said(True, painted=True) == (
        "12 % of the picture changed where you painted; nothing else did."
    )


def test_it_does_not_say_that_nothing_else_changed_where_that_is_not_so() -> None:
    words = what_happened(report(), changed=True, painted=False, strength=1, reencoded="turned")
    assert "nothing else" not in words
    assert "This JPEG is turned" in words


def test_it_says_when_there_is_nothing_to_do() -> None:
    assert "no motion blur was found." in said(False, blurred_fraction=0.0)
    assert "where you painted" in said(False, painted=True, blurred_fraction=0.0)
    assert said(False, strength=0) == "Nothing changed: the strength is 0."
    assert said(False) == "Nothing changed: where motion blur was found, a change would not show."


def test_warnings_are_passed_on() -> None:
    warned = {"warnings": ("a part was left as it was",)}
    assert said(True, **warned).endswith("did. Note: a part was left as it was.")
    assert said(False, **warned) == "Nothing changed. Note: a part was left as it was."


def test_problems_call_the_photo_by_its_name() -> None:
    assert as_sentence(ValueError("the data is damaged"), "a.png") == "a.png is damaged."
    assert as_sentence(ValueError("The picture is too large."), "a.png") == "a.png is too large."
    assert as_sentence(ValueError("Try again in 3 s."), "a.png") == "Try again in 3 s."


def test_figures_count_what_was_left_out() -> None:
    assert dict(figures(report()))["Work left out"] == "40 %"
    assert dict(figures(report(multiply_adds_dense=0)))["Work left out"] == "0 %"

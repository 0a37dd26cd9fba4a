"""What the page says of a restoration."""

from __future__ import annotations

from typing import Any


def as_sentence(problem: Exception, name: str) -> str:
    """A problem with a photo as a sentence that calls the photo by its name."""
    text = str(problem).strip()
    for nameless in ("the data ", "The data ", "The picture "):
        if text.startswith(nameless):
            text = f"{name} {text.removeprefix(nameless)}"
    return text if text.endswith((".", "!", "?")) else text + "."


def percent(share: float) -> str:
    """A share for people; what is above nothing never shows as nothing."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:.0f} %"


def what_happened(
    report: dict[str, Any],
    *,
    changed: bool,
    painted: bool,
    strength: float,
    reencoded: str | None = None,
) -> str:
    """The sentence below the picture.

    Args:
        report: the figures, as `Report.as_dict` has them.
        changed: whether any pixel changed.
        painted: whether a person said where.
        strength: share of the change that was asked for.
        reencoded: of a JPEG, why its other pixels may have moved, too.
    """
    notes = "".join(f" Note: {each}." for each in report["warnings"])
    if not changed:
        return _why_nothing(report, painted=painted, strength=strength) + notes
    start = _what_changed(report, painted=painted)
    if reencoded:
        return (
            f"{start}. This JPEG is {reencoded}, so the rest was encoded anew and may differ by a "
            f"level or a few.{notes}"
        )
    verb = "did" if "changed" in start else "changed"
    return f"{start}; nothing else {verb}.{notes}"


def _what_changed(report: dict[str, Any], *, painted: bool) -> str:
    changed = percent(report["touched_fraction"])
    if painted:
        return f"{changed} of the picture changed where you painted"
    if not report["kept_windows"]:  # the network does not say what is blurred
        return f"{changed} of the picture changed"
    blurred = percent(report["blurred_fraction"])
    start = f"{blurred} of the picture was blurred"
    # Smooth parts of what was blurred come out as they were, and a rim around it may change.
    return start if blurred == changed else f"{start} and {changed} changed"


def _why_nothing(report: dict[str, Any], *, painted: bool, strength: float) -> str:
    if strength == 0:
        return "Nothing changed: the strength is 0."
    if report["warnings"]:
        return "Nothing changed."
    if painted:
        return "Nothing changed where you painted; towards the border changes fade, so paint more."
    if report["blurred_fraction"] > 0:
        return "Nothing changed: where motion blur was found, a change would not show."
    return (
        "Nothing to do: no motion blur was found. "
        "If you see some, lower the threshold or paint over it."
    )


def figures(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What was found and done, for those who want to know more: (name, value)."""
    dense = report["multiply_adds_dense"]
    saved = 1 - report["multiply_adds_spent"] / dense if dense else 0.0
    return [
        ("Taken for blurred", percent(report["blurred_fraction"])),
        ("Changed", percent(report["touched_fraction"])),
        ("Size", f"{report['width']} x {report['height']} pixels"),
        ("Model", report["model"]),
        ("Work left out", percent(max(0.0, saved))),
        ("Time", f"{report['seconds']:.1f} s on {report['device']}"),
    ]

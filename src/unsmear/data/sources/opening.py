"""The one door to the data sets: a path, and perhaps the name of its layout."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unsmear.data.sources.files import FileSource
from unsmear.data.sources.folder import open_folder
from unsmear.data.sources.gopro import is_gopro, open_gopro
from unsmear.data.sources.hide import is_hide, open_hide
from unsmear.data.sources.realblur import is_realblur, open_realblur
from unsmear.data.sources.reloblur import is_reloblur, open_reloblur
from unsmear.errors import InputError

AUTO = "auto"
_OPENERS: dict[str, Callable[..., FileSource]] = {
    "reloblur": open_reloblur,
    "gopro": open_gopro,
    "hide": open_hide,
    "realblur": open_realblur,
    "folder": open_folder,
}
_RECOGNISERS = {
    "realblur": is_realblur,
    "reloblur": is_reloblur,
    "gopro": is_gopro,
    "hide": is_hide,
}
LAYOUTS = (AUTO, *_OPENERS)


def open_source(
    path: str | Path, layout: str = AUTO, split: str | None = None, **options: Any
) -> FileSource:
    """Open a data set on disk. No picture is read yet.

    Args:
        path: its folder, or a list file of RealBlur.
        layout: "reloblur", "gopro", "hide", "realblur" or "folder"; "auto" recognises the tree.
        split: "train" or "test" where the layout has them; None takes all, and names begin with
            the split.
        **options: of the layout: `masks` (reloblur), `blur` (gopro), `variant` (realblur),
            `blurred`, `sharp` and `mask` (folder); see the layout's file.

    Raises:
        InputError: the path is missing, the layout is not what lies there, or has no such option.
    """
    root = Path(path)
    if layout not in LAYOUTS:
        raise InputError(f"there is no layout {layout!r}: choose {', '.join(LAYOUTS)}")
    if not root.exists():
        raise InputError(f"{root} does not exist: check the path")
    if root.is_file() and (root.suffix != ".txt" or layout not in (AUTO, "realblur")):
        raise InputError(f"{root} is a file: name the data set's folder, or a list of RealBlur")
    if layout == AUTO:
        layout = recognise(root)
    opener = _OPENERS[layout]
    known = inspect.signature(opener).parameters.keys() - {"root", "split"}
    if unknown := sorted(options.keys() - known):
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise InputError(f"the layout {layout} has no option {unknown[0]!r}: {has}")
    for name, value in options.items():
        if not isinstance(value, str | Path | None):
            raise InputError(f"{name}={value!r}: give the layout's option as text, in quotes")
    return opener(root, split, **options)


def recognise(root: Path) -> str:
    """Tell the layout of a tree; "folder" where it is none of the well-known data sets."""
    if root.is_file():
        return "realblur"
    return next((name for name, fits in _RECOGNISERS.items() if fits(root)), "folder")

"""Warnings as lines of the photo that they are about, also while several are under way."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_photo: ContextVar[tuple[str, list[str]] | None] = ContextVar("photo", default=None)


@contextlib.contextmanager
def warnings_by_photo() -> Iterator[None]:
    """Give warnings to the photo that :func:`listening_for` names, in any thread."""
    with warnings.catch_warnings():
        # Ours are about one photo each, so none is left out because another photo had it too.
        warnings.filterwarnings("always", category=UserWarning, module=r"unsmear\b")
        before = warnings.showwarning

        def show(message: Warning | str, *others: Any, **named: Any) -> None:
            photo = _photo.get()
            if photo is None:
                before(message, *others, **named)
                return
            name, lines = photo
            text = " ".join(str(message).split())
            lines.append(f"warning: {text}" if name in text else f"warning: {name}: {text}")

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def listening_for(name: str, lines: list[str]) -> Iterator[None]:
    """Collect the warnings that come up inside as lines that name the photo."""
    token = _photo.set((name, lines))
    try:
        yield
    finally:
        _photo.reset(token)

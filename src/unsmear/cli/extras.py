"""Parts of the package that need more than its core."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from unsmear.errors import UnsmearError


@contextlib.contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Turn a missing library into one sentence that says how to get it.

    Args:
        extra: the extra that holds what is needed inside.
        what: what needs it, such as "Training".

    Raises:
        UnsmearError: a library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("unsmear"):
            raise
        raise UnsmearError(
            f"{what} needs {missing.name}, which is not installed: pip install 'unsmear[{extra}]'"
        ) from None

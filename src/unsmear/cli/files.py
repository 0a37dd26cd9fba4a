"""Text files that are there whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

from unsmear.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """Write a file under a passing name and give it its own in one step.

    What is no text, as a file's name need not be, is spelt out.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = path.with_name(f".unsmear-{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}): check its folder."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)

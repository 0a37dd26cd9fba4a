"""``python -m unsmear``."""

from __future__ import annotations

from unsmear.cli.main import script

script()

"""``python -m unsmear``."""

from __future__ import annotations

import sys

from unsmear.cli.main import main

sys.exit(main())

"""Programs' own folders, imported as these programs do it."""

import importlib.util
import sys
from pathlib import Path

INTEGRATIONS = Path(__file__).parents[2] / "integrations"


def import_file(path: Path, name: str):
    """Import a file as a module, or as a package where it is an ``__init__.py``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

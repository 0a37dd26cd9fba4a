"""Remove motion blur only where things moved, at a cost that follows the blur.

Public names load on first use, so that importing the package, or asking the command for help,
does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unsmear.inference import Deblurred, Deblurrer
    from unsmear.models import create_model, load_model, save_model

__version__ = "0.1.0"

_HOMES = {
    "Deblurrer": "unsmear.inference",
    "Deblurred": "unsmear.inference",
    "create_model": "unsmear.models",
    "load_model": "unsmear.models",
    "save_model": "unsmear.models",
}

__all__ = ["Deblurred", "Deblurrer", "__version__", "create_model", "load_model", "save_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unsmear' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""ComfyUI nodes of unsmear; importing them also lets ComfyUI's own loader open our checkpoints."""

import contextlib

from unsmear.errors import UnsmearError

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

with contextlib.suppress(UnsmearError):  # without a working spandrel, the nodes work all the same
    from unsmear.exchange.spandrel import register

    register()

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

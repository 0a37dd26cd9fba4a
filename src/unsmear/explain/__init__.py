"""Pictures of what a network did with a photo: what it found, kept, sampled and changed."""

from unsmear.explain.drawers import explain, shrunk
from unsmear.explain.figure import Figure
from unsmear.explain.page import make_page

__all__ = ["Figure", "explain", "make_page", "shrunk"]

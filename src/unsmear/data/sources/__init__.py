"""Data sets as people have them on disk."""

from unsmear.data.sources.files import FileSource, PairFiles
from unsmear.data.sources.opening import LAYOUTS, open_source
from unsmear.data.sources.source import Pair, PairSource

__all__ = ["LAYOUTS", "FileSource", "Pair", "PairFiles", "PairSource", "open_source"]

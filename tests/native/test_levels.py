import ctypes
import importlib.util

from unsmear.native import levels


def test_levels_that_were_not_built_or_do_not_load_are_unusable(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    levels._library.cache_clear()
    assert not any(levels._supported(level) for level in levels.LEVELS)
    monkeypatch.undo()

    def broken(path):
        raise OSError("wrong machine")

    monkeypatch.setattr(ctypes, "CDLL", broken)
    levels._library.cache_clear()
    assert not any(levels._supported(level) for level in levels.LEVELS)

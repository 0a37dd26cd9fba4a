"""The errors a caller may want to catch; each says what came, what was wanted, what to do."""

from __future__ import annotations


class UnsmearError(Exception):
    """Base of every error this package raises on purpose; the command ends with code 2 on it."""


class InputError(UnsmearError):
    """A file, array or option that cannot be used as it is."""


class OutputError(UnsmearError):
    """A result that cannot be written where it was asked for."""


class ModelError(UnsmearError):
    """A model name, configuration or checkpoint that does not make a network."""

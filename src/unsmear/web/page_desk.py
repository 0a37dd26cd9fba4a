"""The pictures people work on in the page: in memory alone, for a while, under secret names."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from unsmear.web.problems import RequestError


class GoneError(RequestError):
    """A file that is no longer here, or never was."""

    status = 410


@dataclass(frozen=True, eq=False)
class Leaf:
    """A file on the desk.

    Attributes:
        data: its bytes.
        media_type: such as "image/png".
        name: what a person calls it, with its suffix.
    """

    data: bytes
    media_type: str
    name: str


class Desk:
    """Holds files until they were not asked for in a while, or until newer ones need the room.

    Args:
        room: bytes that all files together may take; the newest stays, however large.
        patience: seconds after which a file that nobody asks for is forgotten.
        clock: tells the time in seconds.
    """

    def __init__(
        self,
        room: int = 1 << 30,
        patience: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.room = room
        self.patience = patience
        self._clock = clock
        self._leaves: OrderedDict[str, tuple[float, Leaf]] = OrderedDict()  # last asked for, last

    def put(self, leaf: Leaf) -> str:
        """Lay a file on the desk; gives the name under which it is found."""
        name = secrets.token_urlsafe(18)
        self._leaves[name] = (self._clock(), leaf)
        self._tidy()
        return name

    def get(self, name: str) -> Leaf:
        """Find a file.

        Raises:
            GoneError: it is not here, or no longer.
        """
        self._tidy()
        if name not in self._leaves:
            raise GoneError("This photo is no longer held here; drop it again.")
        leaf = self._leaves[name][1]
        self._leaves[name] = (self._clock(), leaf)
        self._leaves.move_to_end(name)
        return leaf

    def _tidy(self) -> None:
        held = sum(len(leaf.data) for _, leaf in self._leaves.values())
        oldest_kept = self._clock() - self.patience
        while self._leaves:
            name, (asked, leaf) = next(iter(self._leaves.items()))
            too_much = held > self.room and len(self._leaves) > 1
            if asked >= oldest_kept and not too_much:
                return
            held -= len(leaf.data)
            del self._leaves[name]

"""Frames in, frames with what is to change in them out, some frames later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from unsmear.video.clip import Frame
from unsmear.video.motion import moving, shrunk
from unsmear.video.restorer import Judged, Restorer, Seen
from unsmear.video.steady import REACH, Verdict, kept


class Memory(NamedTuple):
    """What a sequence has to know of the frames before to go on after them.

    Attributes:
        verdicts: of the last frames, the latest last.
        judged: see :class:`~unsmear.video.restorer.Judged`.
    """

    verdicts: tuple[Verdict, ...] = ()
    judged: Judged = Judged()


class Ready(NamedTuple):
    """A frame that is decided on.

    Attributes:
        seen: the frame and what the network made of it.
        kept: cells to deblur in the frame before, in this and in the one after.
        memory: what a sequence that begins with the next frame has to know.
    """

    seen: Seen
    kept: tuple[Tensor, Tensor, Tensor]
    memory: Memory


class FrameSequence:
    """Shows a network one frame after the other, and steadies what it finds.

    Args:
        restorer: the network.
        reach: frames before and after that have a say in a frame's mask; 0 leaves it unsteadied.
        memory: of the frames before the first.
        before: the frame right before the first, for what moved in between.
    """

    def __init__(
        self,
        restorer: Restorer,
        reach: int = REACH,
        memory: Memory | None = None,
        before: Frame | None = None,
    ) -> None:
        self.restorer = restorer
        self.reach = reach
        memory = memory or Memory()
        restorer.judged = memory.judged
        self._past = list(memory.verdicts)
        self._lumas: list[Tensor | None] = [None if before is None else _shrunk(before)]
        self._unseen: list[Frame] = []
        self._seen: list[Seen] = []

    def put(self, frame: Frame) -> list[Ready]:
        """Take the next frame; gives those that are decided on now."""
        self._lumas.append(_shrunk(frame))
        self._unseen.append(frame)
        if len(self._unseen) > 1:
            self._see()
        return self._decided(self.reach + 1)

    def flush(self) -> list[Ready]:
        """Give the rest, when there are no further frames."""
        if self._unseen:
            self._lumas.append(None)
            self._see()
        return self._decided(0)

    def _see(self) -> None:
        before, own, after = self._lumas[:3]
        assert own is not None, "it is the first frame that has not been seen"
        self._seen.append(self.restorer.see(self._unseen.pop(0), moving(before, own, after)))
        self._lumas.pop(0)

    def _decided(self, ahead: int) -> list[Ready]:
        """Frames after which so many others have been seen."""
        ready = []
        while len(self._seen) > ahead:
            verdicts = [*self._past, *(seen.verdict for seen in self._seen)]
            masks = self._masks(verdicts, len(self._past))
            seen = self._seen.pop(0)
            self._past = [*self._past, seen.verdict][-self.reach - 1 :]
            ready.append(Ready(seen, masks, Memory(tuple(self._past), seen.judged)))
        return ready

    def _masks(self, verdicts: Sequence[Verdict], index: int) -> tuple[Tensor, Tensor, Tensor]:
        own = kept(verdicts, index, self.reach)
        if self.reach == 0:
            return own, own, own
        places = (max(0, index - 1), min(index + 1, len(verdicts) - 1))
        before, after = (kept(verdicts, place, self.reach) for place in places)
        return before, own, after


def _shrunk(frame: Frame) -> Tensor:
    return shrunk(frame.luma, frame.coding.bits)

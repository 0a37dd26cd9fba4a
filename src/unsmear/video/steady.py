"""Masks that do not blink: what is blurred in a frame is judged with the frames around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unsmear.video.motion import grown

REACH = 2  # frames before and after that have a say
VOTES = 2  # frames in which the network must be sure of a cell that it keeps
DOUBT = 0.7  # of the threshold: how sure the network must be where it is sure in other frames
FAR = 8  # cells (32 px) that a thing may go from one frame to the next and still be the same one


class Verdict(NamedTuple):
    """What the network said of one frame, in cells: three bool [h, w]."""

    sure: Tensor  # its confidence is above the threshold
    likely: Tensor  # above DOUBT of it; these were computed
    moving: Tensor  # something moved there; nothing else is ever kept


def kept(verdicts: Sequence[Verdict], index: int, reach: int = REACH) -> Tensor:
    """Cells to deblur in the frame ``index`` of some: bool [h, w].

    Among the cells where something moved, those are kept

    - that are likely, and of which it is sure in :data:`VOTES` of the frames up to ``reach``
      before and after, this one counted: what blinks stays, a single mistake goes;
    - of which it is sure in this frame, and of something near by in the next or the last one:
      a thing that moves fast is blurred in another place a frame later.

    Nothing else was computed in that frame, so nothing else can be kept. The answer depends on
    these frames alone: any stretch of a clip can be judged by itself. With a reach of 0 a frame
    keeps what the network is sure of.
    """
    own = verdicts[index]
    if reach == 0 or len(verdicts) == 1:
        return own.sure & own.moving
    around = verdicts[max(0, index - reach) : index + reach + 1]
    votes = torch.stack([verdict.sure for verdict in around]).sum(dim=0)
    beside = [verdicts[i].sure for i in (index - 1, index + 1) if 0 <= i < len(verdicts)]
    lasting = own.sure & grown(torch.stack(beside).any(dim=0), FAR)
    return ((own.likely & (votes >= VOTES)) | lasting) & own.moving

"""From a network and a photo to figures: which drawer belongs to which network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.errors import InputError
from unsmear.explain import lbag, lmdvit, saphn, staged
from unsmear.explain.figure import Figure
from unsmear.models.dmphn import DMPHN
from unsmear.models.lbag import LBAG
from unsmear.models.lmdvit import LMDViT
from unsmear.models.network import DeblurringNetwork
from unsmear.models.saphn import SAPHN
from unsmear.models.srn import SRN

DRAWERS: dict[type[DeblurringNetwork], Callable[..., list[Figure]]] = {
    LMDViT: lmdvit.draw,
    SAPHN: saphn.draw,
    LBAG: lbag.draw,
    DMPHN: staged.draw_dmphn,
    SRN: staged.draw_srn,
}


def explain(
    network: DeblurringNetwork,
    picture: Tensor,
    *,
    threshold: float | None = None,
    budget: float | None = None,
) -> list[Figure]:
    """Draw what a network does with a picture.

    Args:
        network: in eval mode; one of :data:`DRAWERS`.
        picture: [1, 3, H, W] float RGB in [0, 1]. All figures have its size, and the network sees
            all of it at once: make large ones smaller first, with :func:`shrunk`.
        threshold: of networks that prune windows: one is kept when its confidence is above this.
            None: the network's own.
        budget: of networks that sample pixels: how many more to work on than planned, from -0.5
            (half) to 1 (twice). None: as planned.

    Raises:
        InputError: a picture or number that the network cannot take, or a network without a drawer.
    """
    draw = DRAWERS.get(type(network))
    name = type(network).__name__
    if draw is None:
        known = ", ".join(each.__name__ for each in DRAWERS)
        raise InputError(f"No drawing is known for {name}; choose one of {known}.")
    options: dict[str, Any] = {}
    if threshold is not None:
        if not network.predictor_places:
            raise InputError(f"This {name} prunes no windows: leave the threshold out.")
        options["threshold"] = threshold
    if budget is not None:
        if not network.takes_budget:
            raise InputError(f"This {name} samples no pixels: leave the budget out.")
        options["budget"] = budget
    if picture.ndim != 4 or len(picture) != 1:
        raise InputError(
            f"One picture has shape (1, 3, H, W), got {tuple(picture.shape)}; draw them one by one."
        )
    with torch.inference_mode():
        return draw(network, picture.to(next(network.parameters()).device), options)


def shrunk(picture: Tensor, longest: int) -> Tensor:
    """Make [1, 3, H, W] smaller until its longer side has at most ``longest`` pixels."""
    h, w = picture.shape[-2:]
    if max(h, w) <= longest:
        return picture
    size = [max(1, round(side * longest / max(h, w))) for side in (h, w)]
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True)

"""How well one blur mask agrees with another, counted in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from unsmear.errors import InputError


class MaskAgreement(NamedTuple):
    """Shares in [0, 1]; NaN where nothing is there to be shared."""

    iou: float  # marked by both among the pixels marked by either
    precision: float  # marked by both among the pixels found
    recall: float  # marked by both among the pixels given


def mask_agreement(found: Tensor, given: Tensor) -> MaskAgreement:
    """Compare masks of one shape and of any type, whose pixels above 0.5 are marked.

    Two empty masks give NaN throughout; one empty mask beside another gives an IoU of 0.

    Raises:
        InputError: their shapes differ.
    """
    if found.shape != given.shape:
        raise InputError(
            f"masks of {tuple(found.shape)} and {tuple(given.shape)}: bring them to one size"
        )
    marked, meant = found > 0.5, given > 0.5
    both = int((marked & meant).sum())
    wholes = (int(each.sum()) for each in (marked | meant, marked, meant))
    return MaskAgreement(*(both / whole if whole else math.nan for whole in wholes))


def mean_agreement(agreements: Iterable[MaskAgreement]) -> MaskAgreement:
    """Mean over pictures of each share, pictures where it is NaN left out; NaN where all are."""
    columns = zip(*agreements, strict=True)
    means = []
    for column in columns:
        known = [share for share in column if not math.isnan(share)]
        means.append(sum(known) / len(known) if known else math.nan)
    return MaskAgreement(*means) if means else MaskAgreement(math.nan, math.nan, math.nan)

"""How near a picture is to the sharp one, and the conventions of every figure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor

from unsmear.metrics import psnr, ssim, weighted_psnr, weighted_ssim

CONVENTIONS = {
    "pictures": "RGB; what a restorer gives is clamped and rounded to 8 bits first",
    "psnr": "dB for a peak of 1, of each picture; the mean leaves out pictures that equal the "
    "sharp one (infinite), which are counted",
    "ssim": "11x11 Gaussian window of sigma 1.5, without padding; mean over channels and places",
    "realblur": "its two cameras differ in exposure and a little in pose: each picture is first "
    "brought to the sharp one's (one factor, a homography by ECC); pixels without a twin are left "
    "out",
    "wpsnr": "PSNR of the mean squared error inside the blur mask; pictures with an empty mask or "
    "none are left out and counted",
    "wssim": "mean of the SSIM map inside the blur mask; likewise",
    "mean": "of the pictures' figures, each picture weighing the same",
    "better_share": "share of the pictures with a blur mask whose wpsnr rose",
    "static_change": "mean absolute change outside the blur mask, of a peak of 1; pictures "
    "without a mask are left out",
    "stages": "pixels of kept windows against the blur mask, mean over the pictures whose mask "
    "is not empty (accuracy: pixels on the right side; precision: blurred ones among the kept; "
    "recall: kept ones among the blurred; sharp_kept: kept ones among the windows without a "
    "blurred pixel); kept: mean share of windows over all pictures; kept_on_sharp: the same over "
    "pictures with an empty mask. last_stage: pixels that any block of the last pruned stage kept, "
    "but for regions nowhere sure",
    "multiply_adds": "of convolutions, linear layers and attention for one picture, padding "
    "included, mean over the pictures; dense: every window; spent: as windows were kept in what "
    "ran, overlaps of tiles included. A rival's are counted while it runs",
    "seconds": "median over the pictures, from a picture in host memory to the restored one there, "
    "device synchronised, after an untimed run for every size of picture",
    "peak_memory": "largest in bytes while a picture was restored: allocated by torch on CUDA, "
    "resident in the whole process on a Linux CPU, else unknown",
}


class Quality(NamedTuple):
    """Likeness to the sharp picture; NaN where there is nothing to measure.

    Attributes:
        psnr: dB, infinite where the pictures are equal.
        ssim: at most 1.
        wpsnr: PSNR inside the blur mask.
        wssim: SSIM inside the blur mask.
    """

    psnr: float
    ssim: float
    wpsnr: float = math.nan
    wssim: float = math.nan


UNKNOWN = Quality(math.nan, math.nan)


def as_written(picture: Tensor) -> Tensor:
    """What an 8-bit file would hold, float32 in [0, 1]."""
    return (picture.float().clamp(0, 1) * 255).round() / 255


def measure(picture: Tensor, sharp: Tensor, blur_mask: Tensor | None) -> Quality:
    """Compare [1, 3, H, W] in [0, 1] with the sharp picture, and inside a mask [1, 1, H, W].

    Raises:
        InputError: pictures smaller than SSIM's 11 pixels a side, or of unequal shapes.
    """
    whole = Quality(float(psnr(picture, sharp)), float(ssim(picture, sharp)))
    if blur_mask is None:
        return whole
    return whole._replace(
        wpsnr=float(weighted_psnr(picture, sharp, blur_mask)),
        wssim=float(weighted_ssim(picture, sharp, blur_mask)),
    )


def measure_aligned(picture: Tensor, sharp: Tensor) -> Quality:
    """Compare [1, 3, H, W] in [0, 1] with a sharp picture of another camera, as RealBlur asks."""
    from unsmear.data.alignment import align_restored  # OpenCV, for this data set alone

    moved, wanted, valid = (each[None] for each in align_restored(picture[0], sharp[0]))
    return Quality(
        float(weighted_psnr(moved, wanted, valid)), float(weighted_ssim(moved, wanted, valid))
    )


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are finite; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.fmean(finite) if finite else math.nan


def mean_quality(qualities: Iterable[Quality]) -> Quality:
    """Mean of each figure over the pictures that have it."""
    columns = zip(*qualities, strict=True)
    return Quality(*(mean(column) for column in columns))


def plain(value: Any) -> Any:
    """A figure for JSON: what is not finite becomes None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain_dict(figures: NamedTuple) -> dict[str, Any]:
    """A tuple's figures by name, for JSON."""
    return {name: plain(value) for name, value in figures._asdict().items()}

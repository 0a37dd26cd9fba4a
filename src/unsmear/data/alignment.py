"""The alignment that RealBlur's evaluation asks for: exposure and camera pose of a result."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# As in the data set's own evaluation: always so many steps, on pictures smoothed over so many
# pixels.
ECC_STEPS = 100
ECC_SMOOTHING = 5


class Aligned(NamedTuple):
    """A result and its sharp twin, ready to be compared.

    Attributes:
        restored: [3, H, W] float32, brought to the sharp picture's exposure and pose; 0 outside
            `valid`. May go a little below 0 and above 1.
        sharp: [3, H, W] float32, 0 outside `valid`.
        valid: [1, H, W] float32 of 0 and 1: where the result has pixels. PSNR and SSIM count these
            alone.
    """

    restored: Tensor
    sharp: Tensor
    valid: Tensor


def align_restored(restored: Tensor, sharp: Tensor) -> Aligned:
    """Align a result to its sharp twin, as figures on RealBlur are measured.

    RealBlur's two cameras differ in exposure and, after the data set's own alignment, still a
    little in pose. One factor matches the light, a homography found by ECC the pose. Where ECC
    finds none, the pose stays and a warning says so.

    Args:
        restored: [3, H, W] float, RGB in [0, 1].
        sharp: [3, H, W] float, RGB in [0, 1].

    Returns:
        Both on the CPU, see `Aligned`.
    """
    wanted, moving = _as_image(sharp), _as_image(restored)
    energy = float((moving * moving).sum())
    gain = float((wanted * moving).sum()) / energy if energy else 1.0
    moving *= np.float32(gain)
    homography = _find_homography(wanted, moving)
    height, width = wanted.shape[:2]

    def warp(picture: NDArray[np.float32], way: int, border: int) -> NDArray[np.float32]:
        flags = way | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(
            picture, homography, (width, height), flags=flags, borderMode=border
        )
        return np.asarray(warped, np.float32)

    valid = warp(np.ones((height, width), np.float32), cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    warped = warp(moving, cv2.INTER_CUBIC, cv2.BORDER_REFLECT)
    known = torch.from_numpy(valid)[None]
    return Aligned(_as_tensor(warped) * known, _as_tensor(wanted) * known, known)


def _find_homography(wanted: NDArray[np.float32], moving: NDArray[np.float32]) -> NDArray[Any]:
    """The homography from the wanted picture's pixels to those of the moving one."""
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (wanted, moving)]
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_STEPS, 0)
    start, everywhere = np.eye(3, dtype=np.float32), np.ones(wanted.shape[:2], np.uint8)
    try:
        _, homography = cv2.findTransformECC(
            greys[0], greys[1], start, cv2.MOTION_HOMOGRAPHY, stop, everywhere, ECC_SMOOTHING
        )
    except cv2.error:
        warnings.warn(
            "the result is too unlike the sharp picture to be aligned: compared in place",
            stacklevel=3,
        )
        return np.eye(3, dtype=np.float32)
    return np.asarray(homography)


def _as_image(picture: Tensor) -> NDArray[np.float32]:
    """[3, H, W] -> [H, W, 3] in memory of its own."""
    return np.array(picture.detach().cpu().permute(1, 2, 0), np.float32, order="C")


def _as_tensor(picture: NDArray[np.float32]) -> Tensor:
    """[H, W, 3] -> [3, H, W]."""
    return torch.from_numpy(picture).permute(2, 0, 1)

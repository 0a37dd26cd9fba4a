"""From numbers to colours: every picture is (H, W, 3) uint8 in the photo's size.

Shapes: photos [1, 3, H, W] in [0, 1], maps [1, 1, H, W], where NaN stands for "nothing is known".
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# From dark to light in equal steps of CIE lightness (8 to 97), so that a number twice as far from
# the low end looks twice as light.
ANCHORS = (
    (0, 21, 63),
    (84, 0, 169),
    (200, 0, 127),
    (255, 97, 65),
    (255, 184, 98),
    (255, 247, 210),
)
MARK = (255, 40, 40)
OPACITY = 0.7  # of a heat map over the photo
TINT = 0.25  # share of the mark's colour inside of what is marked
DIMMED = 0.35  # what is left of the photo's light around what is marked
LUMA = (0.299, 0.587, 0.114)


def pixels(picture: Tensor) -> np.ndarray:
    """Round a picture [1, 3, H, W] to 8 bits: (H, W, 3) uint8; values outside [0, 1] are cut."""
    levels = (picture[0].permute(1, 2, 0) * 255).round().clamp(0, 255)
    return np.ascontiguousarray(levels.byte().cpu().numpy())


def spread(values: Tensor, side: int, photo: Tensor) -> Tensor:
    """Give each value its side x side pixels: [1, K, h, w] -> [1, K, H, W], padding cut off."""
    large = values.repeat_interleave(side, -2).repeat_interleave(side, -1)
    return large[..., : photo.shape[-2], : photo.shape[-1]]


def heat(values: Tensor, photo: Tensor, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Lay a map over the grey photo, ``low`` dark and ``high`` light; grey where it is NaN."""
    known = ~values.isnan()
    grey = torch.where(known, _grey(photo), DIMMED * _grey(photo))
    height = (values - low) / (high - low) if high > low else torch.zeros_like(values)
    colour = _heat_colours(height.nan_to_num().clamp(0, 1))
    return pixels(torch.lerp(grey.expand_as(colour), colour, OPACITY * known.to(colour)))


def stretched_heat(values: Tensor, photo: Tensor, unit: str = "") -> tuple[np.ndarray, str]:
    """The same between the map's own ends, and a sentence that says what these are.

    The outermost half percent of the values on either side counts as the end itself.
    """
    known = values[~values.isnan()].float().cpu().numpy()
    if not known.size:
        return heat(values, photo), "Nothing is known."
    low, high = (float(end) for end in np.quantile(known, (0.005, 0.995)))
    ends = f"Dark is {low:.3g}{unit}, light {high:.3g}{unit}."
    return heat(values, photo, low, high), ends if high > low else f"{low:.3g}{unit} everywhere."


def outlined(where: Tensor, photo: Tensor) -> np.ndarray:
    """Outline and tint what a bool map marks, and dim the rest of the photo."""
    line = max(1, round(max(photo.shape[-2:]) / 500))
    outside = F.max_pool2d((~where).to(photo), 2 * line + 1, stride=1, padding=line)
    border = where & (outside > 0)
    mark = _colour(MARK, photo)
    picture = torch.where(where, torch.lerp(photo, mark, TINT), DIMMED * photo)
    return pixels(torch.where(border, mark, picture))


def dotted(where: Tensor, photo: Tensor) -> np.ndarray:
    """Paint the pixels that a bool map marks, and dim the rest of the photo."""
    return pixels(torch.where(where, _colour(MARK, photo), DIMMED * photo))


def _grey(photo: Tensor) -> Tensor:
    weights = photo.new_tensor(LUMA)[:, None, None]
    return (photo * weights).sum(dim=1, keepdim=True)


def _heat_colours(height: Tensor) -> Tensor:
    """[1, 1, H, W] in [0, 1] -> [1, 3, H, W], straight lines between the anchors."""
    anchors = height.new_tensor(ANCHORS) / 255  # [A, 3]
    place = height[:, 0] * (len(anchors) - 1)
    below = place.floor().clamp(max=len(anchors) - 2)
    step = below.long()
    colours = torch.lerp(anchors[step], anchors[step + 1], (place - below)[..., None])
    return colours.permute(0, 3, 1, 2)


def _colour(rgb: tuple[int, int, int], like: Tensor) -> Tensor:
    return like.new_tensor(rgb)[None, :, None, None] / 255

"""Between the samples that a clip stores and RGB.

A change goes back the way a frame came: RGB is a linear function of Y'CbCr, so what a change of RGB
means is added to the stored samples. A sample without a change keeps its value, whatever the
rounding of a conversion there and back would have made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from torch import Tensor

from unsmear.errors import InputError

WEIGHTS = {  # of red and blue in luma, by the number that H.273 gives the matrix
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
UNSPECIFIED = 2
FULL = 2
HIGH_DEFINITION = 720  # lines from which on a clip without a tag is taken for BT.709


class Box(NamedTuple):
    """A part of a frame, in pixels; the first row and column are even, so chroma divides there."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Its pixels."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class Coding:
    """How the samples of a frame mean colours.

    Attributes:
        kind: "yuv", "rgb" (planes in the order G, B, R) or "grey".
        bits: of a sample.
        is_full: whether samples use all of their range, as in JPEG, or leave foot and head room.
        red: weight of red in luma.
        blue: weight of blue in luma.
        across: luma samples beside each other for one of chroma, 1 or 2.
        down: the same among rows.
    """

    kind: str
    bits: int
    is_full: bool
    red: float
    blue: float
    across: int
    down: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Coding:
        """The coding of a frame in planes of its own, see :func:`in_planes`.

        A frame that does not say its matrix is taken for BT.709 from 720 lines on, and for BT.601
        below, as players do.

        Raises:
            InputError: a matrix that is no linear function of RGB, such as YCgCo or ICtCp.
        """
        form = frame.format
        parts = list(form.components)
        kind = "rgb" if form.is_rgb else "yuv" if len(parts) > 2 else "grey"
        matrix = frame.colorspace
        if matrix == UNSPECIFIED or kind != "yuv":
            matrix = 1 if max(frame.height, 9 * frame.width // 16) >= HIGH_DEFINITION else 6
        if matrix not in WEIGHTS:
            raise InputError(
                f"The clip's colour matrix (number {matrix} of H.273) is not known here: convert "
                "it to BT.709 first."
            )
        red, blue = WEIGHTS[matrix]
        across, down = _factors(parts)
        full = kind == "rgb" or frame.color_range == FULL or form.name.startswith("yuvj")
        return cls(
            kind,
            parts[0].bits,
            full,
            red,
            blue,
            across,
            down,
        )

    @property
    def luma(self) -> tuple[float, float]:
        """Stored black, and how far stored white lies above it."""
        unit = 1 << (self.bits - 8)
        return (0.0, float(self.white)) if self.is_full else (16.0 * unit, 219.0 * unit)

    @property
    def chroma(self) -> tuple[float, float]:
        """Stored grey, and how far the strongest blue lies from the strongest yellow."""
        unit = 1 << (self.bits - 8)
        return 128.0 * unit, float(self.white) if self.is_full else 224.0 * unit

    @property
    def white(self) -> int:
        """The largest value that a sample can have."""
        return (1 << self.bits) - 1


def planar_format(form: av.VideoFormat) -> str:
    """The name of the format with a plane for each component that holds what ``form`` holds.

    It is the format's own name where that is such a one; the others (NV12, RGB24, palettes) are
    only sorted into planes.
    """
    parts = list(form.components)
    if _is_planar(form, parts):
        return form.name
    bits = max(part.bits for part in parts)
    depth = next((each for each in (8, 10, 12) if bits <= each), 16)
    ending = "" if depth == 8 else f"{depth}le"
    alpha = "a" if any(part.is_alpha for part in parts) else ""
    if form.is_rgb or form.has_palette or form.is_bayer:
        return f"gbr{alpha}p{ending}"
    if len(parts) == 1:
        return f"gray{ending}"
    chroma = {(2, 2): "420", (2, 1): "422"}.get(_factors(parts), "444")
    return f"yuv{alpha}{chroma}p{ending}"


def _is_planar(form: av.VideoFormat, parts: list[Any]) -> bool:
    if form.has_palette or form.is_bit_stream or form.is_bayer or form.is_big_endian:
        return False
    own_planes = len({part.plane for part in parts}) == len(parts)
    depths = {part.bits for part in parts}
    return (
        own_planes
        and len(depths) == 1
        and depths <= set(range(8, 17))
        and max(_factors(parts)) <= 2
    )


def _factors(parts: list[Any]) -> tuple[int, int]:
    """Luma samples for one of chroma, across and down."""
    first, second = (parts[0], parts[1]) if len(parts) > 2 else (parts[0], parts[0])
    return -(-first.width // second.width), -(-first.height // second.height)


def in_planes(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame with a plane for each component, itself where it has them."""
    name = planar_format(frame.format)
    return frame if name == frame.format.name else frame.reformat(format=name)


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    """The planes of a frame as views of its memory: (H, W) uint8 or uint16, chroma smaller."""
    views = []
    for part in sorted(frame.format.components, key=lambda part: part.plane):
        plane: Any = frame.planes[part.plane]
        kind = np.dtype(np.uint8 if part.bits == 8 else "<u2")
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
        views.append(rows[: part.height, : part.width])
    return views


def to_rgb(planes: list[np.ndarray], coding: Coding, box: Box) -> np.ndarray:
    """A part of a frame as a network sees it: (H, W, 3) uint16, white is 65535.

    Chroma is interpolated linearly between its places: in the middle of two rows, and on every
    second column (MPEG-2's and H.264's usual siting).
    """
    if coding.kind == "rgb":
        green, blue, red = (_cut(plane, box, 1, 1) for plane in planes[:3])
        rgb = torch.stack([red, green, blue]) / coding.white
    else:
        black, span = coding.luma
        y = (_cut(planes[0], box, 1, 1) - black) / span
        if coding.kind == "grey":
            rgb = y.expand(3, -1, -1)
        else:
            grey, reach = coding.chroma
            cb, cr = (
                (_spread(_cut(plane, box, coding.down, coding.across), coding, y.shape) - grey)
                / reach
                for plane in planes[1:3]
            )
            red = y + 2 * (1 - coding.red) * cr
            blue = y + 2 * (1 - coding.blue) * cb
            green = (y - coding.red * red - coding.blue * blue) / (1 - coding.red - coding.blue)
            rgb = torch.stack([red, green, blue])
    whole = rgb.clamp(0, 1).mul(65535).round_()
    return whole.permute(1, 2, 0).numpy().astype(np.uint16)


def add_change(planes: list[np.ndarray], coding: Coding, box: Box, change: Tensor) -> None:
    """Add a change of RGB to a part of a frame, in place.

    Args:
        planes: of the whole frame.
        coding: what they mean.
        box: the part.
        change: [3, H, W], in units of white. Where it is 0 nothing changes; a sample of chroma
            changes when one of the pixels does that it colours.
    """
    red, green, blue = change
    if coding.kind == "rgb":
        for plane, own in zip(planes[:3], (green, blue, red), strict=True):
            _add(plane, box, 1, 1, own * coding.white, coding.white)
        return
    y = coding.red * red + (1 - coding.red - coding.blue) * green + coding.blue * blue
    _add(planes[0], box, 1, 1, y * coding.luma[1], coding.white)
    if coding.kind == "yuv":
        reach = coding.chroma[1]
        for plane, own, weight in ((planes[1], blue, coding.blue), (planes[2], red, coding.red)):
            chroma = _gathered((own - y) / (2 * (1 - weight)), coding) * reach
            _add(plane, box, coding.down, coding.across, chroma, coding.white)


def _place(box: Box, down: int, across: int) -> tuple[slice, slice]:
    return (
        slice(box.top // down, -(-box.bottom // down)),
        slice(box.left // across, -(-box.right // across)),
    )


def _cut(plane: np.ndarray, box: Box, down: int, across: int) -> Tensor:
    return torch.from_numpy(plane[_place(box, down, across)].astype(np.float32))


def _add(plane: np.ndarray, box: Box, down: int, across: int, change: Tensor, white: int) -> None:
    place = _place(box, down, across)
    changed = torch.from_numpy(plane[place].astype(np.float32)) + change
    plane[place] = changed.round_().clamp_(0, white).numpy().astype(plane.dtype)


def _spread(chroma: Tensor, coding: Coding, shape: torch.Size) -> Tensor:
    """Interpolate chroma to the places of luma."""
    if coding.down == 2:
        above = torch.cat([chroma[:1], chroma[:-1]])
        below = torch.cat([chroma[1:], chroma[-1:]])
        rows = [0.25 * above + 0.75 * chroma, 0.75 * chroma + 0.25 * below]
        chroma = torch.stack(rows, dim=1).flatten(0, 1)
    if coding.across == 2:
        right = torch.cat([chroma[:, 1:], chroma[:, -1:]], dim=1)
        chroma = torch.stack([chroma, 0.5 * (chroma + right)], dim=2).flatten(1, 2)
    return chroma[: shape[0], : shape[1]]


def _gathered(values: Tensor, coding: Coding) -> Tensor:
    """Means of luma's places at those of chroma, the weights of :func:`_spread` turned about."""
    if coding.down == 2:
        values = torch.cat([values, values[-1:]]) if len(values) % 2 else values
        values = 0.5 * (values[0::2] + values[1::2])
    if coding.across == 2:
        if values.shape[1] % 2:
            values = torch.cat([values, values[:, -1:]], dim=1)
        left = torch.cat([values[:, :1], values[:, 1:-1:2]], dim=1)
        values = 0.25 * left + 0.5 * values[:, 0::2] + 0.25 * values[:, 1::2]
    return values

"""The things that move: cut-outs and pieces of photos, with a place, a size and a motion."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsmear.data.config import SynthesisConfig
from unsmear.data.degrade import linearise_bytes
from unsmear.data.library import CutOut, MediaLibrary
from unsmear.data.rendering import Layer
from unsmear.data.trajectory import moved_corners, random_trajectory

# Each further moving thing is so much less likely.
FURTHER_THING_ODDS = 0.35
# Share of the scenes whose clipped lights are brighter than white.
BRIGHT_SCENES = 0.4


class LayerMaker:
    """Draws scenes out of a library.

    Args:
        library: the material.
        config: what the things look like.
        size: side of the square frame in pixels.
        device: where the layers are made.

    Attributes:
        movable: the cut-outs in use. One that its photo cuts on two opposite sides rarely fits a
            frame, and is left out.
    """

    def __init__(
        self, library: MediaLibrary, config: SynthesisConfig, size: int, device: torch.device
    ) -> None:
        self.library = library
        self.config = config
        self.size = size
        self.device = device
        self.movable = [each for each in library.objects if _can_leave_frame(each)]

    def light_of(self, picture: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
        """Turn [H, W, 3] bytes into [3, H, W] linear light, its clipped lights made brighter."""
        linear = np.ascontiguousarray(linearise_bytes(picture).transpose(2, 0, 1))
        light = torch.from_numpy(linear).to(self.device)
        # White in a photo is often brighter than white: averaged, it leaves the streaks of lamps.
        gain = rng.uniform(0, self.config.highlight_gain) if rng.random() < BRIGHT_SCENES else 0.0
        return light * (1 + gain * ((light - 0.9) * 10).clamp(0, 1)) if gain else light

    def draw_length(self, rng: np.random.Generator) -> float:
        """Draw the length of a blur in pixels."""
        extreme = rng.random() < self.config.extreme_share
        low, high = self.config.extreme_length if extreme else self.config.usual_length
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def draw(self, kind: str, rng: np.random.Generator) -> list[Layer]:
        """Draw moving things, and at times a still one in front of or between them.

        Args:
            kind: "cutout" or "segment".
            rng: source of randomness.

        Returns:
            Layers from back to front, 1 to `config.most_objects` of them moving.
        """
        count = self._draw_count(rng)
        layers = [self._draw_one(kind, rng, shrink=1 / count, moving=True) for _ in range(count)]
        if rng.random() < self.config.occluder_share:
            occluder = self._draw_still(rng, shrink=0.5)
            layers.insert(int(rng.integers(1, count + 1)), occluder)
        return layers

    def draw_bystanders(self, rng: np.random.Generator) -> list[Layer]:
        """Draw things that stand still: layers from back to front, 1 to `config.most_objects`."""
        count = self._draw_count(rng)
        return [self._draw_still(rng, shrink=1 / count) for _ in range(count)]

    def _draw_count(self, rng: np.random.Generator) -> int:
        odds = FURTHER_THING_ODDS ** np.arange(self.config.most_objects)
        return 1 + int(rng.choice(self.config.most_objects, p=odds / odds.sum()))

    def _draw_still(self, rng: np.random.Generator, shrink: float) -> Layer:
        kind = "cutout" if self.movable and rng.random() < 0.5 else "segment"
        return self._draw_one(kind, rng, shrink, moving=False)

    def _draw_one(self, kind: str, rng: np.random.Generator, shrink: float, moving: bool) -> Layer:
        """Draw one thing, its place and its motion.

        Args:
            kind: "cutout" or "segment".
            rng: source of randomness.
            shrink: factor on the largest area it may have.
            moving: whether it moves.

        Returns:
            The layer; a side cut by its photo's edge lies outside the frame at all times.
        """
        low, high = self.config.object_area
        share = float(np.exp(rng.uniform(np.log(low), np.log(max(low, high * shrink)))))
        area = share * self.size**2
        if kind == "cutout":
            pixels, cut = self._draw_cut_out(rng, area)
        else:
            pixels, cut = self._draw_segment(rng, area), frozenset[str]()
        height, width = pixels.shape[1:]
        poses = self._draw_poses(rng, width, height, stiff=bool(cut)) if moving else None
        reach = 2.0  # a soft edge stays outside, too
        if poses is not None:
            corners = moved_corners(poses, width, height)
            reach += float(np.abs(corners - corners[len(poses) // 2]).max())
        top = _place(rng, self.size, height, "T" in cut, "B" in cut, reach)
        left = _place(rng, self.size, width, "L" in cut, "R" in cut, reach)
        return Layer(self._recolour(pixels, rng), top, left, poses)

    def _draw_poses(
        self, rng: np.random.Generator, width: int, height: int, *, stiff: bool
    ) -> NDArray[np.float64]:
        """Draw a trajectory for a thing of this size: mostly shift, at times some turn, growth."""
        length = self.draw_length(rng)
        radius = 0.5 * float(np.hypot(width, height))
        # Turning moves the rim by angle * radius: kept to the order of the shift.
        turn = growth = 0.0
        if rng.random() < 0.5:
            turn = min(self.config.most_turn, 1.5 * length / radius)
        if rng.random() < 0.3:
            growth = min(self.config.most_growth, length / radius)
        if stiff:
            turn, growth = turn * 0.3, growth * 0.3
        return random_trajectory(
            rng,
            length,
            turn,
            growth,
            bend=self.config.bend * rng.random(),
            unevenness=self.config.unevenness * rng.random(),
        )

    def _draw_cut_out(self, rng: np.random.Generator, area: float) -> tuple[Tensor, frozenset[str]]:
        """Draw a cut-out, its size, mirroring and slant: [4, h, w] and its cut sides."""
        thing = self.movable[rng.integers(len(self.movable))]
        pixels, cut = self.library.cut_out(thing.path), thing.cut_sides
        # Never enlarged, which would soften the target, and never far beyond the frame.
        scale = float(np.sqrt(area / max(_solid_area(pixels), 1.0)))
        scale = min(scale, 1.0, 1.6 * self.size / max(pixels.shape[:2]))
        if not cut and rng.random() < 0.5:
            # Turned at twice the final size and reduced after, so that turning costs no sharpness.
            pixels = _reduce(pixels, min(1.0, 2 * scale))
            scale = scale / min(1.0, 2 * scale)
            pixels = _turn(pixels, rng.normal(0, 15))
        pixels = _reduce(pixels, scale)
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
            cut = frozenset({"L": "R", "R": "L"}.get(side, side) for side in cut)
        light = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 65535
        return torch.from_numpy(light).to(self.device), cut

    def _draw_segment(self, rng: np.random.Generator, area: float) -> Tensor:
        """Draw a smoothly shaped piece of a photo: [4, h, w]."""
        aspect = float(np.exp(rng.normal(0, 0.35)))
        radius = float(np.sqrt(area / np.pi))
        alpha = _smooth_shape(rng, radius * np.sqrt(aspect), radius / np.sqrt(aspect), self.size)
        photo = self.library.random_crop(rng, *alpha.shape)
        light = self.light_of(photo, rng)
        cover = torch.from_numpy(alpha).to(self.device)[None]
        return torch.cat([light * cover, cover])

    def _recolour(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Change colour and exposure of a [4, h, w] layer a little; alpha stays."""
        gains = rng.normal(0, self.config.colour_jitter, size=3)
        gains = np.exp(gains + rng.normal(0, self.config.light_jitter))
        factors = torch.from_numpy(np.append(gains, 1.0).astype(np.float32)).to(self.device)
        return pixels * factors[:, None, None]


def _can_leave_frame(thing: CutOut) -> bool:
    return not ({"L", "R"} <= thing.cut_sides or {"T", "B"} <= thing.cut_sides)


def _place(
    rng: np.random.Generator, frame: int, length: int, cut_first: bool, cut_last: bool, reach: float
) -> int:
    """Draw where a thing starts along one axis.

    Args:
        rng: source of randomness.
        frame: the frame's length along the axis in pixels.
        length: the thing's length.
        cut_first: its first side (left or top) must stay outside the frame.
        cut_last: its last side (right or bottom) must stay outside the frame.
        reach: how far any of its points moves, at most.

    Returns:
        Position of its first pixel, below 0 where the frame cuts it.
    """
    reach = int(np.ceil(reach))
    if cut_first:
        return -reach - int(rng.uniform(0, 0.3) * length)
    if cut_last:
        return frame - length + reach + int(rng.uniform(0, 0.3) * length)
    # Its middle lies anywhere in the frame, so that many things cross the edge.
    return int(rng.uniform(0.02, 0.98) * frame - length / 2)


def _solid_area(pixels: NDArray[np.uint16]) -> float:
    """Area of a [H, W, 4] cut-out in pixels, half-transparent ones counted by their alpha."""
    return float(pixels[..., 3].mean()) / 65535 * pixels[..., 3].size


def _reduce(pixels: NDArray[np.uint16], scale: float) -> NDArray[np.uint16]:
    """Reduce a [H, W, 4] picture by a factor of at most 1."""
    height, width = (max(round(side * scale), 4) for side in pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    # OpenCV's stubs do not say that the number type stays.
    reduced: Any = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return reduced


def _turn(pixels: NDArray[np.uint16], degrees: float) -> NDArray[np.uint16]:
    """Turn a [H, W, 4] picture about its centre, on a canvas that holds all of it."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    turned_width = round(height * sin + width * cos)
    turned_height = round(height * cos + width * sin)
    matrix[:, 2] += (turned_width - width) / 2, (turned_height - height) / 2
    turned: Any = cv2.warpAffine(
        pixels, matrix, (turned_width, turned_height), flags=cv2.INTER_LINEAR
    )
    return turned


def _smooth_shape(
    rng: np.random.Generator, radius_x: float, radius_y: float, size: int
) -> NDArray[np.float32]:
    """Draw the alpha of a blob: an ellipse whose radius waves along its rim.

    Args:
        rng: source of randomness.
        radius_x: mean radius across in pixels.
        radius_y: mean radius down in pixels.
        size: side of the frame in pixels; the blob's sides end at 1.4 of it.

    Returns:
        [h, w] alpha in [0, 1] with a soft edge of 1 to 3 px.
    """
    waves = np.arange(2, 8)
    heights = rng.normal(size=len(waves)) * 0.35 / waves
    phases = rng.uniform(0, 2 * np.pi, size=len(waves))
    edge = rng.uniform(1, 3)
    half_height = int(min(radius_y * 1.5 + 2, 0.7 * size))
    half_width = int(min(radius_x * 1.5 + 2, 0.7 * size))
    y, x = np.mgrid[-half_height : half_height + 1, -half_width : half_width + 1]
    distance = np.hypot(x / radius_x, y / radius_y)
    angle = np.arctan2(y, x)
    ripples = heights[:, None, None] * np.cos(waves[:, None, None] * angle + phases[:, None, None])
    rim = np.clip(1 + ripples.sum(axis=0), 0.3, 1.45)
    alpha = np.clip((rim - distance) * min(radius_x, radius_y) / edge + 0.5, 0, 1)
    # Where the blob would leave its canvas, it ends softly instead of with a straight cut.
    inset_y = np.clip((half_height - np.abs(y)) / edge, 0, 1)
    inset_x = np.clip((half_width - np.abs(x)) / edge, 0, 1)
    return (alpha * inset_x * inset_y).astype(np.float32)

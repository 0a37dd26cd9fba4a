"""Moving layers averaged over an exposure, in linear light and premultiplied alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unsmear.data.trajectory import moved_corners, sample_poses, subframe_count

# Sub-frames rendered at a time: keeps the intermediate tensors in the processor's cache.
CHUNK = 8
# A layer whose alpha stays below this has not been there.
FAINT_ALPHA = 0.02


class Box(NamedTuple):
    """A rectangle of pixels: rows top to bottom and columns left to right, ends left out."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Number of pixels; 0 when empty."""
        return max(self.bottom - self.top, 0) * max(self.right - self.left, 0)

    @property
    def cut(self) -> tuple[slice, slice]:
        """Index of these rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def meets(self, other: Box) -> bool:
        """Tell whether two boxes share a pixel."""
        return max(self.top, other.top) < min(self.bottom, other.bottom) and max(
            self.left, other.left
        ) < min(self.right, other.right)

    def joined(self, other: Box) -> Box:
        """Give the smallest box round both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Layer:
    """A thing in front of the background.

    Attributes:
        pixels: [4, h, w] float32 premultiplied linear RGBA.
        top: row of its first pixel in the frame at mid-exposure; may lie outside.
        left: column of its first pixel in the frame at mid-exposure; may lie outside.
        poses: [n, 4] trajectory about its centre, or None when it stands still.
    """

    pixels: Tensor
    top: int
    left: int
    poses: NDArray[np.float64] | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of its middle in the frame at mid-exposure."""
        height, width = self.pixels.shape[1:]
        return self.top + (height - 1) / 2, self.left + (width - 1) / 2

    @property
    def subframes(self) -> int:
        """Number of sub-frames that its motion asks for."""
        if self.poses is None:
            return 1
        return subframe_count(self.poses, self.pixels.shape[2], self.pixels.shape[1])

    def swept_box(self, height: int, width: int) -> Box:
        """Give the part of a frame that it touches during the exposure."""
        rows, columns = self.centre
        centre = np.array([columns, rows])
        layer_height, layer_width = self.pixels.shape[1:]
        poses = np.zeros((1, 4)) if self.poses is None else self.poses
        corners = moved_corners(poses, layer_width + 2, layer_height + 2)
        left, top = np.floor(corners.min(axis=(0, 1)) + centre)
        right, bottom = np.ceil(corners.max(axis=(0, 1)) + centre) + 1
        return Box(
            int(np.clip(top, 0, height)),
            int(np.clip(left, 0, width)),
            int(np.clip(bottom, 0, height)),
            int(np.clip(right, 0, width)),
        )

    def at(self, poses: NDArray[np.float64], box: Box) -> Tensor:
        """Render it at given poses.

        Args:
            poses: [n, 4] dx, dy in pixels, angle, log-scale.
            box: part of the frame to render.

        Returns:
            [n, 4, box height, box width] premultiplied linear RGBA.
        """
        device = self.pixels.device
        layer_height, layer_width = self.pixels.shape[1:]
        rows, columns = self.centre
        shrink = np.exp(-poses[:, 3])
        cos, sin = shrink * np.cos(poses[:, 2]), shrink * np.sin(poses[:, 2])
        # Frame to layer: undo the shift, then turn back and shrink about the centre.
        from_x = box.left - columns - poses[:, 0]
        from_y = box.top - rows - poses[:, 1]
        start_x, start_y = cos * from_x + sin * from_y, -sin * from_x + cos * from_y
        across = torch.arange(box.right - box.left, device=device, dtype=torch.float32)
        down = torch.arange(box.bottom - box.top, device=device, dtype=torch.float32)

        def plane(start: NDArray, per_x: NDArray, per_y: NDArray, size: int) -> Tensor:
            # grid_sample counts the picture from -1 to 1, edge to edge of its outer pixels.
            terms = np.stack([start, per_x, per_y]) * (2 / size)
            base, step_x, step_y = torch.from_numpy(terms.astype(np.float32)).to(device)
            along = step_x[:, None] * across[None]
            aside = base[:, None] + step_y[:, None] * down[None]
            return aside[:, :, None] + along[:, None, :]

        grid = torch.stack(
            [
                plane(start_x, cos, sin, layer_width),
                plane(start_y, -sin, cos, layer_height),
            ],
            dim=3,
        )
        layers = self.pixels.expand(len(poses), -1, -1, -1)
        return F.grid_sample(
            layers, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )

    def pasted(self, box: Box) -> Tensor:
        """Render it at mid-exposure, exactly: [4, box height, box width]."""
        canvas = self.pixels.new_zeros((4, box.bottom - box.top, box.right - box.left))
        top, left = max(self.top, box.top), max(self.left, box.left)
        bottom = min(self.top + self.pixels.shape[1], box.bottom)
        right = min(self.left + self.pixels.shape[2], box.right)
        if top < bottom and left < right:
            canvas[:, top - box.top : bottom - box.top, left - box.left : right - box.left] = (
                self.pixels[
                    :, top - self.top : bottom - self.top, left - self.left : right - self.left
                ]
            )
        return canvas


class Exposure(NamedTuple):
    """A background and its moving layers, seen through one exposure.

    Attributes:
        blurred: [3, H, W] linear light averaged over the exposure.
        sharp: [3, H, W] linear light at mid-exposure.
        swept: [H, W] bool, where a moving layer was at any time.
    """

    blurred: Tensor
    sharp: Tensor
    swept: Tensor


def over(front: Tensor, back: Tensor) -> Tensor:
    """Composite premultiplied [..., 4, H, W] in front of [..., 3 or 4, H, W]."""
    return front[..., : back.shape[-3], :, :] + (1 - front[..., 3:, :, :]) * back


def expose(background: Tensor, layers: list[Layer]) -> Exposure:
    """Average a scene over the exposure.

    Every sub-frame composites the layers over the background; the picture is the mean of the
    sub-frames. As the background stands still, the mean of the composites is the composite of the
    mean, so that only layers that meet each other need compositing in every sub-frame.

    Args:
        background: [3, H, W] linear light, standing still.
        layers: from back to front.

    Returns:
        The averaged and the middle picture, and where the moving layers were.
    """
    height, width = background.shape[1:]
    blurred, sharp = background.clone(), background.clone()
    swept = torch.zeros((height, width), dtype=torch.bool, device=background.device)
    for group, box in _group_meeting(layers, height, width):
        if not box.area:
            continue
        mean, seen = _mean_of_group(group, box)
        cut = (slice(None), *box.cut)
        blurred[cut] = over(mean, blurred[cut])
        for layer in group:
            sharp[cut] = over(layer.pasted(box), sharp[cut])
        swept[box.cut] |= seen
    return Exposure(blurred, sharp, swept)


def _group_meeting(layers: list[Layer], height: int, width: int) -> list[tuple[list[Layer], Box]]:
    """Split layers into groups whose boxes do not meet; the order within a group stays."""
    groups: list[tuple[list[int], Box]] = []
    for index, layer in enumerate(layers):
        members, box = [index], layer.swept_box(height, width)
        # Joining boxes may make them meet further ones: repeat until nothing changes.
        while meeting := [group for group in groups if group[1].meets(box)]:
            for group in meeting:
                groups.remove(group)
                members, box = members + group[0], box.joined(group[1])
        groups.append((sorted(members), box))
    return [([layers[index] for index in members], box) for members, box in groups]


def _mean_of_group(group: list[Layer], box: Box) -> tuple[Tensor, Tensor]:
    """Average the composite of some layers: [4, h, w] premultiplied mean and [h, w] bool swept."""
    count = max(layer.subframes for layer in group)
    total = group[0].pixels.new_zeros((4, box.bottom - box.top, box.right - box.left))
    strongest = torch.zeros_like(total[0])
    still = {
        index: layer.pasted(box)[None] for index, layer in enumerate(group) if layer.poses is None
    }
    for start in range(0, count, CHUNK):
        part: Tensor | None = None
        moving_alpha: Tensor | None = None
        for index, layer in enumerate(group):
            if layer.poses is None:
                rendered = still[index]
                if moving_alpha is not None:
                    moving_alpha = moving_alpha * (1 - rendered[:, 3])
            else:
                rendered = layer.at(sample_poses(layer.poses, count)[start : start + CHUNK], box)
                alpha = rendered[:, 3]
                moving_alpha = alpha if moving_alpha is None else torch.maximum(alpha, moving_alpha)
            part = rendered if part is None else over(rendered, part)
        assert part is not None, "a group has at least one layer"
        steps = min(CHUNK, count - start)
        total += part.sum(dim=0) * (steps / len(part))
        if moving_alpha is not None:
            strongest = torch.maximum(strongest, moving_alpha.amax(dim=0))
    return total / count, strongest > FAINT_ALPHA


def shake(scene: Tensor, poses: NDArray[np.float64], margin: int) -> Tensor:
    """Average a whole picture over the camera's own motion.

    Args:
        scene: [3, H + 2 margin, W + 2 margin] linear light.
        poses: [n, 4] trajectory of the picture; the log-scale and the angle may be 0.
        margin: pixels on every side that the motion may bring into view.

    Returns:
        [3, H, W] averaged linear light.
    """
    height, width = scene.shape[1] - 2 * margin, scene.shape[2] - 2 * margin
    box = Box(margin, margin, margin + height, margin + width)
    if not poses[:, 2:].any():
        return _shake_by_convolution(scene, poses, box)
    layer = Layer(scene, 0, 0, poses)
    count = layer.subframes
    instants = sample_poses(poses, count)
    total = scene.new_zeros((3, height, width))
    for start in range(0, count, CHUNK):
        total += layer.at(instants[start : start + CHUNK], box).sum(dim=0)
    return total / count


def _shake_by_convolution(scene: Tensor, poses: NDArray[np.float64], box: Box) -> Tensor:
    """Average pure shifts: one convolution, the same as bilinear shifts averaged one by one."""
    count = subframe_count(poses, 1, 1)
    shifts = sample_poses(poses, count)[:, :2]
    whole = np.floor(shifts).astype(np.int64)
    part = shifts - whole
    kernel = np.zeros((scene.shape[1], scene.shape[2]), np.float64)
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - part[:, 1]) * np.abs(1 - column - part[:, 0])
            rows = (whole[:, 1] + row) % kernel.shape[0]
            columns = (whole[:, 0] + column) % kernel.shape[1]
            np.add.at(kernel, (rows, columns), weight / count)
    # The Fourier transform wraps round; the margin keeps what wraps out of the box.
    spread = torch.from_numpy(kernel.astype(np.float32)).to(scene.device)
    product = torch.fft.rfft2(scene) * torch.fft.rfft2(spread)
    moved = torch.fft.irfft2(product, s=scene.shape[1:])
    return moved[(slice(None), *box.cut)].clamp(min=0)

"""LBAG: local blur-aware gated network (AAAI 2023), the baseline that came with ReLoBlur.

Reads downwards: configuration, what it returns, parts, network. It is MIMO-UNet+ (the picture
enters and leaves in three sizes) whose every output has a fourth channel: a gate that lets the
residual through where something is blurred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.errors import ModelError
from unsmear.layers.residual import ResidualBlock
from unsmear.models.network import DeblurringNetwork
from unsmear.models.padding import pad_to_multiple
from unsmear.models.staged import check_pictures


@dataclass(frozen=True)
class LBAGConfig:
    """Sizes of the network; the defaults are the published model's.

    Attributes:
        embed_dim: C, channels in full resolution; 2C at half and 4C at a quarter of it.
        blocks: residual blocks per encoder and per decoder stage; 20 in MIMO-UNet+.
        lowest_gate: gates are no smaller than this, so that gradients always pass.
        dropout: share of the merged feature maps that training leaves out.
    """

    embed_dim: int = 32
    blocks: int = 20
    lowest_gate: float = 0.1
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.embed_dim < 4 or self.embed_dim % 2:
            raise ModelError(f"embed_dim must be even and at least 4, got {self.embed_dim}.")
        if self.blocks < 1:
            raise ModelError(f"blocks must be positive, got {self.blocks}.")
        for name in ("lowest_gate", "dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ModelError(f"{name} lies in [0, 1), got {getattr(self, name)}.")


class Gated(NamedTuple):
    """A restored batch, its gate, and both in the smaller sizes.

    Attributes:
        restored: [B, 3, H, W], RGB, meant for [0, 1] but not clamped.
        gate: [B, 1, H, W] in [lowest_gate, 1], the share of the residual that was added.
        stages: the pictures at a quarter and at half of the size, [B, 3, H / s, W / s], rounded
            up.
        stage_gates: their gates. Training compares every gate with the blur mask in its size.
    """

    restored: Tensor
    gate: Tensor
    stages: tuple[Tensor, ...]
    stage_gates: tuple[Tensor, ...]

    @property
    def supervised(self) -> tuple[Tensor, ...]:
        """Pictures that training compares with the sharp one, the last of them ``restored``."""
        return (*self.stages, self.restored)

    @property
    def blur_map(self) -> Tensor:
        """The gate: it opens where something is blurred."""
        return self.gate


class ShallowFeatures(nn.Module):
    """Features of a smaller picture: [B, 3, H, W] -> [B, C, H, W], the picture among them.

    Args:
        dim: C; a multiple of 4.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            *_conv(3, dim // 4, 3),
            *_conv(dim // 4, dim // 2, 1),
            *_conv(dim // 2, dim // 2, 3),
            *_conv(dim // 2, dim - 3, 1),
        )
        self.mix = nn.Conv2d(dim, dim, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, H, W]."""
        return self.mix(torch.cat([picture, self.look(picture)], dim=1))


class FeatureAttention(nn.Module):
    """Let the features of a smaller picture weigh those that come down the encoder.

    Args:
        dim: channels of both.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, features: Tensor, shallow: Tensor) -> Tensor:
        """Two [B, C, H, W] -> [B, C, H, W]."""
        return features + self.merge(features * shallow)


class LBAG(DeblurringNetwork):
    """The network.

    Args:
        config: sizes; see :class:`LBAGConfig`.
    """

    def __init__(self, config: LBAGConfig | None = None) -> None:
        super().__init__()
        self.config = config or LBAGConfig()
        dims = [self.config.embed_dim * factor for factor in (1, 2, 4)]
        c, c2, c4 = dims
        self.input_proj = nn.Sequential(*_conv(3, c, 3))
        self.shallow = nn.ModuleList([ShallowFeatures(c2), ShallowFeatures(c4)])
        self.attend = nn.ModuleList([FeatureAttention(c2), FeatureAttention(c4)])
        self.encoder = nn.ModuleList(self._blocks(dim) for dim in dims)
        self.shrink = nn.ModuleList(
            [nn.Sequential(*_conv(c, c2, 3, stride=2)), nn.Sequential(*_conv(c2, c4, 3, stride=2))]
        )
        self.fuse = nn.ModuleList(
            nn.Sequential(*_conv(sum(dims), dim, 1), nn.Conv2d(dim, dim, 3, padding=1))
            for dim in (c, c2)
        )
        self.drop = nn.Dropout2d(self.config.dropout)
        self.decoder = nn.ModuleList(self._blocks(dim) for dim in reversed(dims))
        self.grow = nn.ModuleList([_double(c4), _double(c2)])
        self.join = nn.ModuleList(
            [nn.Sequential(*_conv(c4, c2, 1)), nn.Sequential(*_conv(c2, c, 1))]
        )
        self.output_proj = nn.ModuleList(nn.Conv2d(dim, 4, 3, padding=1) for dim in reversed(dims))

    @property
    def size_step(self) -> int:
        """Sides are padded to multiples of this many pixels: one of the coarsest stage."""
        return 4

    @property
    def features_per_pixel(self) -> int:
        """Measured at 256 x 256: 728 in the published network."""
        return 24 * self.config.embed_dim

    def _blocks(self, dim: int) -> nn.Sequential:
        return nn.Sequential(*(ResidualBlock(dim) for _ in range(self.config.blocks)))

    def forward(self, blurred: Tensor) -> Gated:
        """Restore a batch.

        Args:
            blurred: [B, 3, H, W] float RGB in [0, 1], any H and W from 1.

        Raises:
            InputError: a tensor of another shape or type.
        """
        check_pictures(blurred)
        padded = pad_to_multiple(blurred, self.size_step)
        images = [padded, _resize(padded, 1 / 2), _resize(padded, 1 / 4)]
        dtype = next(self.parameters()).dtype
        bottom, skips = self._encode([image.to(dtype) for image in images])

        pictures, gates = [], []
        x = self.decoder[0](bottom)
        for index, small in enumerate(reversed(images)):  # a quarter, half, full size
            if index:
                x = torch.cat([self.grow[index - 1](x), skips.pop()], dim=1)
                x = self.decoder[index](self.join[index - 1](x))
            out = self.output_proj[index](x)
            gate = out[:, 3:].sigmoid().clamp(min=self.config.lowest_gate)
            pictures.append(_crop(small + out[:, :3] * gate, blurred, 4 >> index))
            gates.append(_crop(gate, blurred, 4 >> index))
        return Gated(pictures[-1], gates[-1], tuple(pictures[:-1]), tuple(gates[:-1]))

    def _encode(self, images: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Pictures in three sizes -> [B, 4C, H / 4, W / 4], and what the decoder is shown.

        The latter mixes all three scales' features, once in full and once in half resolution.
        """
        x = self.encoder[0](self.input_proj(images[0]))
        scales = [x]
        for index in range(2):
            shallow = self.shallow[index](images[index + 1])
            x = self.encoder[index + 1](self.attend[index](self.shrink[index](x), shallow))
            scales.append(x)
        full, half, quarter = scales
        skips = (
            [full, _resize(half, 2), _resize(quarter, 4)],
            [_resize(full, 1 / 2), half, _resize(quarter, 2)],
        )
        fused = zip(self.fuse, skips, strict=True)
        return quarter, [self.drop(fuse(torch.cat(skip, dim=1))) for fuse, skip in fused]


def _conv(dim: int, out: int, kernel_size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(dim, out, kernel_size, stride=stride, padding=kernel_size // 2)
    return conv, nn.ReLU(inplace=True)


def _double(dim: int) -> nn.Sequential:
    """Twice the sides, half the channels."""
    conv = nn.ConvTranspose2d(dim, dim // 2, 4, stride=2, padding=1)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def _resize(x: Tensor, factor: float) -> Tensor:
    """Nearest neighbour, as in MIMO-UNet."""
    return F.interpolate(x, scale_factor=factor)


def _crop(x: Tensor, blurred: Tensor, shrinkage: int) -> Tensor:
    """Leave out the padding, in the type of the input."""
    h, w = (-(-side // shrinkage) for side in blurred.shape[-2:])
    return x[..., :h, :w].to(blurred.dtype)

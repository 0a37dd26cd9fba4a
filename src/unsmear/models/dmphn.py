"""DMPHN(1-2-4-8): a hierarchy of patches, from eight up to the whole picture (CVPR 2019).

Reads downwards: configuration, level, network. The topology is that of the released checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from unsmear.errors import ModelError
from unsmear.layers.patches import join_patches, split_patches
from unsmear.layers.residual import ResidualBlock
from unsmear.models.lmdvit import pad_to_multiple
from unsmear.models.staged import Staged, check_pictures

GRIDS = ((1, 1), (2, 1), (2, 2), (4, 2))  # rows and columns of patches at levels 1 to 4
SHRINKAGE = 4  # pixels of the picture in one pixel of an encoder's features, a side
MIDDLE = 0.5  # subtracted from the picture's values on the way in, added on the way out


@dataclass(frozen=True)
class DMPHNConfig:
    """Sizes of the network; the defaults are the released model's.

    Attributes:
        embed_dim: C, channels in full resolution; 2C at half and 4C at a quarter of it.
        levels: 4 is DMPHN(1-2-4-8), 3 is DMPHN(1-2-4), and so on down to the whole picture alone.
    """

    embed_dim: int = 32
    levels: int = 4

    def __post_init__(self) -> None:
        if self.embed_dim < 1:
            raise ModelError(f"embed_dim must be positive, got {self.embed_dim}.")
        if not 1 <= self.levels <= len(GRIDS):
            raise ModelError(f"DMPHN has 1 to {len(GRIDS)} levels, got {self.levels}.")


class Level(nn.Module):
    """Encoder and decoder of one level; no skip connections run between them.

    Args:
        dim: C, channels in full resolution.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(  # [B, 3, H, W] -> [B, 4C, H / 4, W / 4]
            nn.Conv2d(3, dim, 3, padding=1),
            *_pair(dim),
            nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1),
            *_pair(2 * dim),
            nn.Conv2d(2 * dim, 4 * dim, 3, stride=2, padding=1),
            *_pair(4 * dim),
        )
        self.decoder = nn.Sequential(  # [B, 4C, H / 4, W / 4] -> [B, 3, H, W]
            *_pair(4 * dim),
            nn.ConvTranspose2d(4 * dim, 2 * dim, 4, stride=2, padding=1),
            *_pair(2 * dim),
            nn.ConvTranspose2d(2 * dim, dim, 4, stride=2, padding=1),
            *_pair(dim),
            nn.Conv2d(dim, 3, 3, padding=1),
        )


class DMPHN(nn.Module):
    """The network.

    Args:
        config: sizes; see :class:`DMPHNConfig`.
    """

    def __init__(self, config: DMPHNConfig | None = None) -> None:
        super().__init__()
        self.config = config or DMPHNConfig()
        self.levels = nn.ModuleList(Level(self.config.embed_dim) for _ in range(self.config.levels))
        self.apply(_initialise)

    @property
    def size_step(self) -> int:
        """Sides are padded to multiples of this many pixels: patches whose features fit."""
        return SHRINKAGE * GRIDS[self.config.levels - 1][0]

    def forward(self, blurred: Tensor) -> Staged:
        """Restore a batch.

        Args:
            blurred: [B, 3, H, W] float RGB in [0, 1], any H and W from 1.

        Returns:
            The restored batch; its ``stages`` are the pictures that each level hands to the next
            as input (its residual added to the blurred picture), all in full size.

        Raises:
            InputError: a tensor of another shape or type.
        """
        check_pictures(blurred)
        image = pad_to_multiple(blurred, self.size_step) - MIDDLE
        image = image.to(next(self.parameters()).dtype)
        picture, features, stages = image, None, []
        for index in reversed(range(1, self.config.levels)):
            residual, features = self._run_level(index, picture, features)
            picture = image + residual
            stages.append(picture)
        output, _ = self._run_level(0, picture, features)  # the picture itself, no residual
        h, w = blurred.shape[-2:]
        restored, *before = (
            one[..., :h, :w].to(blurred.dtype) + MIDDLE for one in (output, *stages)
        )
        return Staged(restored, tuple(before))

    def _run_level(
        self, index: int, picture: Tensor, below: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run one level, counted from 0.

        Args:
            index: level 1 is 0.
            picture: [B, 3, H, W], what the level's encoder sees, values around zero.
            below: [B, 4C, H / 4, W / 4], features of the level below, if there is one.

        Returns:
            The decoder's output [B, 3, H, W], and the features for the level above.
        """
        level = cast("Level", self.levels[index])
        grid, coarser = GRIDS[index], GRIDS[max(index - 1, 0)]
        features = join_patches(level.encoder(split_patches(picture, *grid)), *grid)
        if below is not None:
            features = features + below
        # The decoder works on the patches of the level above: neighbours joined in pairs.
        output = join_patches(level.decoder(split_patches(features, *coarser)), *coarser)
        return output, features


def _pair(dim: int) -> tuple[ResidualBlock, ResidualBlock]:
    return ResidualBlock(dim), ResidualBlock(dim)


def _initialise(module: nn.Module) -> None:
    """Half of He's deviation, counted over the outputs, as the released model was trained from."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        fan_out = math.prod(module.kernel_size) * module.out_channels
        nn.init.normal_(module.weight, std=0.5 * math.sqrt(2 / fan_out))
        nn.init.zeros_(cast("Tensor", module.bias))

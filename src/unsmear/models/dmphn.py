"""DMPHN(1-2-4-8): a hierarchy of patches, from eight up to the whole picture (CVPR 2019).

Reads downwards: configuration, levels, network. The topology is that of the released checkpoints.

With sampling it is the non-uniform DMPHN of SAPHN's Table VI. The paper says only that its sampling
was put in; what follows stays as close to the uniform network as that allows. The bottom level is
unchanged. The others keep maps of full resolution at their coarse scales r = 2 and 4 and work there
on L = H * W / r^2 pixels of each patch, chosen by the last features of the level below. Widths,
kernels and blocks are the same. What differs:

- A pixel's neighbours are those of full resolution, as in SAPHN's pixel-adaptive convolution.
- The strided convolutions run at the sampled pixels; a 1x1 convolution widens the others.
- The transposed convolutions are 1x1 ones at the sampled pixels. The others have the encoder's
  features of the finer scale there, and a 1x1 convolution merges both.
- Features handed to the next level have full resolution; those of the bottom level are brought
  to it bilinearly.
- Every level but the top one adds its residual to the picture it was given, not to the blurred
  one, so that a pixel which is not sampled can keep what the level below restored.

| model | parameters | multiply-adds at 3 x 256 x 256 |
| --- | --- | --- |
| dmphn | 7.23 M | 65.1 G |
| dmphn-nu | 6.84 M | 66.3 G (-10 %: 63.2, +10 %: 69.4, +20 %: 72.5) |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.errors import ModelError
from unsmear.layers.patches import join_patches, split_patches
from unsmear.layers.picture_conv import PictureConv
from unsmear.layers.pixel_sampling import PixelSampler, Sampling, Selection, gather_pixels
from unsmear.layers.residual import ResidualBlock, run_blocks
from unsmear.layers.sampled_scales import ScaleBridge
from unsmear.models.network import DeblurringNetwork
from unsmear.models.padding import pad_to_multiple
from unsmear.models.staged import SampledPixels, Staged, check_pictures, check_spending

Grid = tuple[int, int]

GRIDS: tuple[Grid, ...] = ((1, 1), (2, 1), (2, 2), (4, 2))  # rows x columns at levels 1 to 4
RATIOS = (2, 4)  # r of the scales that sample
SHRINKAGE = 4  # pixels of the picture in one pixel of an encoder's features, a side
MIDDLE = 0.5  # subtracted from the picture's values on the way in, added on the way out


@dataclass(frozen=True)
class DMPHNConfig:
    """Sizes of the network; the defaults are the released model's.

    Attributes:
        embed_dim: C, channels in full resolution; 2C at half and 4C at a quarter of it.
        levels: 4 is DMPHN(1-2-4-8), 3 is DMPHN(1-2-4), and so on down to the whole picture alone.
        sampling: sample pixels in every level but the bottom one.
    """

    embed_dim: int = 32
    levels: int = 4
    sampling: bool = False

    def __post_init__(self) -> None:
        if self.embed_dim < 1:
            raise ModelError(f"embed_dim must be positive, got {self.embed_dim}.")
        if not 1 <= self.levels <= len(GRIDS):
            raise ModelError(f"DMPHN has 1 to {len(GRIDS)} levels, got {self.levels}.")
        if self.sampling and self.levels == 1:
            raise ModelError("Sampling follows a level below; give DMPHN 2 levels or more.")


class LevelOutput(NamedTuple):
    """What a level leaves to the one above, features in the patches (N of h x w) of that one.

    Attributes:
        picture: [B, 3, H, W], the decoder's output.
        features: [N, 4C, h / 4, w / 4] of the encoder; of a sampled level [N, 4C, h, w].
        finest: [N, C, h, w], the decoder's last features.
    """

    picture: Tensor
    features: Tensor
    finest: Tensor


class Level(nn.Module):
    """Encoder and decoder of one level; no skip connections run between them.

    Args:
        dim: C, channels in full resolution.
        grid: rows and columns of patches that the encoder sees.
        grid_above: those of the level above, which the decoder works on; at the top the same.
    """

    def __init__(self, dim: int, grid: Grid, grid_above: Grid) -> None:
        super().__init__()
        self.grid, self.grid_above = grid, grid_above
        self.encoder = nn.Sequential(  # [N, 3, h, w] -> [N, 4C, h / 4, w / 4]
            nn.Conv2d(3, dim, 3, padding=1),
            *_pair(dim),
            nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1),
            *_pair(2 * dim),
            nn.Conv2d(2 * dim, 4 * dim, 3, stride=2, padding=1),
            *_pair(4 * dim),
        )
        self.decoder = nn.Sequential(  # [N, 4C, h / 4, w / 4] -> [N, 3, h, w]
            *_pair(4 * dim),
            nn.ConvTranspose2d(4 * dim, 2 * dim, 4, stride=2, padding=1),
            *_pair(2 * dim),
            nn.ConvTranspose2d(2 * dim, dim, 4, stride=2, padding=1),
            *_pair(dim),
            PictureConv(dim, 3, 3, padding=1),
        )

    def forward(self, picture: Tensor, below: LevelOutput | None) -> LevelOutput:
        """Run the level.

        Args:
            picture: [B, 3, H, W], what the encoder sees, values around zero.
            below: what the level below left, if there is one.
        """
        features = self.encoder(split_patches(picture, *self.grid))
        if below is not None:
            features = features + below.features
        features = regroup(features, self.grid, self.grid_above)
        finest = self.decoder[:-1](features)
        output = join_patches(self.decoder[-1](finest), *self.grid_above)
        return LevelOutput(output, features, finest)


class SampledScale(nn.Module):
    """A coarse scale of an encoder and a decoder whose maps keep full resolution.

    Args:
        fine: channels of the next finer scale.
        coarse: channels of this one.
    """

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.shrink = nn.Conv2d(fine, coarse, 3)
        self.encoder = nn.ModuleList(_pair(coarse))
        self.decoder = nn.ModuleList(_pair(coarse))
        self.bridge = ScaleBridge(fine, coarse)

    def encode(self, x: Tensor, selection: Selection) -> Tensor:
        """From the finer scale's [N, fine, h, w] to [N, coarse, h, w]."""
        x = self.bridge.descend(x, self.shrink, selection)
        return run_blocks(self.encoder, x, selection)

    def decode(self, x: Tensor, skip: Tensor, selection: Selection) -> Tensor:
        """Back to [N, fine, h, w]; ``skip`` is what the encoder had there."""
        x = run_blocks(self.decoder, x, selection)
        return self.bridge.ascend(self.bridge.refined(x, selection), skip, selection)


class SampledLevel(nn.Module):
    """A level with maps of full resolution at every scale, worked on where it is needed.

    The finest scale works on every pixel, the others on those that are selected.

    Args:
        dim: C, channels at the finest scale.
        grid: as in :class:`Level`.
        grid_above: as in :class:`Level`.
    """

    def __init__(self, dim: int, grid: Grid, grid_above: Grid) -> None:
        super().__init__()
        self.grid, self.grid_above = grid, grid_above
        self.encoder = nn.Sequential(nn.Conv2d(3, dim, 3, padding=1), *_pair(dim))
        self.scales = nn.ModuleList(
            SampledScale(fine, coarse) for fine, coarse in pairwise((dim, 2 * dim, 4 * dim))
        )
        self.decoder = nn.Sequential(*_pair(dim), PictureConv(dim, 3, 3, padding=1))

    def forward(self, picture: Tensor, below: LevelOutput, *selections: Selection) -> LevelOutput:
        """Run the level.

        Args:
            picture: [B, 3, H, W], what the encoder sees, values around zero.
            below: what the level below left.
            *selections: the pixels of this level's patches to work on at r = 2 and 4.
        """
        grids, skips = (self.grid, self.grid_above), []
        x = self.encoder(split_patches(picture, *self.grid))
        for scale, selection in zip(self.scales, selections, strict=True):
            skips.append(regroup(x, *grids))
            x = cast("SampledScale", scale).encode(x, selection)
        x = x + F.interpolate(below.features, size=x.shape[-2:], mode="bilinear")
        x = features = regroup(x, *grids)
        places = [regroup_selection(selection, *grids) for selection in selections]
        for scale, selection in reversed(list(zip(self.scales, places, strict=True))):
            x = cast("SampledScale", scale).decode(x, skips.pop(), selection)
        finest = self.decoder[:-1](x)
        output = join_patches(self.decoder[-1](finest), *self.grid_above)
        return LevelOutput(output, features, finest)


class DMPHN(DeblurringNetwork):
    """The network. With sampling, pixels are drawn in train mode; in eval mode the likeliest win.

    Args:
        config: sizes; see :class:`DMPHNConfig`.
    """

    def __init__(self, config: DMPHNConfig | None = None) -> None:
        super().__init__()
        self.config = config or DMPHNConfig()
        dim, bottom = self.config.embed_dim, self.config.levels - 1
        self.levels = nn.ModuleList(
            (SampledLevel if self.config.sampling and index < bottom else Level)(
                dim, GRIDS[index], GRIDS[max(index - 1, 0)]
            )
            for index in range(self.config.levels)
        )
        self.apply(_initialise)
        self.samplers = nn.ModuleList(  # keep their own first weights
            nn.ModuleList(PixelSampler(dim, share=1 / ratio**2) for ratio in RATIOS)
            for _ in range(bottom if self.config.sampling else 0)
        )

    @property
    def size_step(self) -> int:
        """Sides are padded to multiples of this many pixels: patches whose features fit."""
        return SHRINKAGE * GRIDS[self.config.levels - 1][0]

    @property
    def milestones(self) -> list[nn.Module]:
        """The levels, bottom level first."""
        return list(self.levels)[::-1]

    @property
    def features_per_pixel(self) -> int:
        """Measured at 256 x 256: 347 and, sampled, 1000 in the published width."""
        return (32 if self.config.sampling else 12) * self.config.embed_dim

    @property
    def takes_budget(self) -> bool:
        """Whether pixels are sampled."""
        return self.config.sampling

    def forward(self, blurred: Tensor, *, budget: float = 0.0) -> Staged:
        """Restore a batch.

        Args:
            blurred: [B, 3, H, W] float RGB in [0, 1], any H and W from 1.
            budget: how many more pixels to sample than uniform levels would process, from -0.5
                (half) to 1 (twice); other than 0 only for a network with sampling.

        Returns:
            The restored batch; its ``stages`` are the pictures that each level hands to the next
            as input (its residual added), all in full size. Stage 1 is the bottom level.

        Raises:
            InputError: a tensor of another shape or type, or a budget that cannot be.
        """
        check_pictures(blurred)
        check_spending(budget, sampling=self.config.sampling)
        image = pad_to_multiple(blurred, self.size_step) - MIDDLE
        dtype = next(self.parameters()).dtype
        h, w = blurred.shape[-2:]
        picture, left, pictures, sampled = image, None, [], []
        for stage, index in enumerate(reversed(range(self.config.levels)), start=1):
            decided = self._sample(index, left, budget)
            left = self.levels[index](picture.to(dtype), left, *(one.selection for one in decided))
            if index == 0:
                picture = left.picture  # the picture itself, no residual
            else:
                picture = (picture if self.config.sampling else image) + left.picture
            pictures.append(picture[..., :h, :w].to(blurred.dtype) + MIDDLE)
            for ratio, one in zip(RATIOS, decided, strict=False):
                maps = (join_patches(x, *GRIDS[index]) for x in (one.logits, one.drawn))
                logits, drawn = (x[..., :h, :w] for x in maps)
                sampled.append(SampledPixels(stage, ratio, logits, drawn, one.share))
        return Staged(pictures[-1], tuple(pictures[:-1]), tuple(sampled))

    def _sample(self, index: int, left: LevelOutput | None, budget: float) -> list[Sampling]:
        """Choose the pixels of a level's patches at r = 2 and 4; none for a uniform level."""
        if left is None or not self.config.sampling:
            return []
        samplers = cast("nn.ModuleList", self.samplers[index])
        return [sampler(left.finest, budget) for sampler in samplers]


def _pair(dim: int) -> tuple[ResidualBlock, ResidualBlock]:
    return ResidualBlock(dim), ResidualBlock(dim)


def regroup(x: Tensor, before: Grid, after: Grid) -> Tensor:
    """Maps of the patches of one grid as maps of the patches of another."""
    return split_patches(join_patches(x, *before), *after)


def regroup_selection(selection: Selection, before: Grid, after: Grid) -> Selection:
    """The same pixels, numbered in the larger patches of another grid."""
    rows, columns = before[0] // after[0], before[1] // after[1]
    h, w = rows * selection.height, columns * selection.width
    numbers = torch.arange(h * w, device=selection.index.device).view(1, 1, h, w)
    numbers = numbers.expand(len(selection.index) // (rows * columns), -1, -1, -1)
    own = gather_pixels(regroup(numbers, after, before), selection)  # [N, 1, L]
    index = regroup(own[:, :, None], before, after).flatten(1)
    index, order = index.sort(dim=1)
    if selection.valid is None:
        return Selection(index, None, h, w)
    valid = regroup(selection.valid[:, None, None], before, after).flatten(1)
    return Selection(index, valid.gather(1, order), h, w)


def _initialise(module: nn.Module) -> None:
    """Half of He's deviation, counted over the outputs, as the released model was trained from."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
        fan_out = math.prod(module.kernel_size) * module.out_channels
        nn.init.normal_(module.weight, std=0.5 * math.sqrt(2 / fan_out))
        nn.init.zeros_(cast("Tensor", module.bias))

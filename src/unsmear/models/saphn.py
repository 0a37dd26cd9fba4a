"""SAPHN: a patch hierarchy of content-aware blocks with adaptive sampling (arXiv 2402.06117).

Reads downwards: configuration, block, stages, network. Three stages: the bottom one sees the
picture as 2 x 2 patches, the next as an upper and a lower half, the top one whole; each restores
what the one below it left and takes over its features. Each is an encoder and a decoder of three
scales with two content-aware blocks a scale on either side, no stage twice.

Sizes. The paper gives about 23 M parameters and 140 G operations (uniform: 136 G) for 3 x 256 x 256
and leaves the widths open. Counted here are multiply-adds of convolutions and matrix products, half
of what ``torch.utils.flop_counter`` reports; interpolation, masks, norms and softmax are not. Since
a picture at half the side costs a quarter, both numbers are met by widths that grow faster than
they double (`unsmear info NAME --size 256x256 --json`):

| model | widths | parameters | multiply-adds |
| --- | --- | --- | --- |
| saphn | 32, 64, 240 | 22.12 M | 136.8 G (-10 %: 130.4, +10 %: 143.1, +20 %: 149.8) |
| saphn-uniform | 32, 64, 240 | 22.90 M | 137.7 G |
| saphn-uniform-light | 24, 40, 144 | 8.59 M | 59.6 G |

Shapes: B pictures (or patches of pictures), H x W their pixels, r = 1, 2, 4 the factor of a scale,
C its width. A uniform stage shrinks its maps to H/r x W/r. A sampled stage keeps them at H x W and
works on L of their pixels, as many as the uniform stage has; its X_u is the mean of r x r pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.errors import ModelError
from unsmear.layers.content_aware import ContentAware
from unsmear.layers.linear_attention import Activation, LinearAttention
from unsmear.layers.patches import join_patches, split_patches
from unsmear.layers.pixel_linear import PixelLinear
from unsmear.layers.pixel_sampling import (
    PixelSampler,
    Sampling,
    Selection,
    gather_pixels,
    put_back,
)
from unsmear.models.network import DeblurringNetwork
from unsmear.models.padding import pad_to_multiple
from unsmear.models.staged import SampledPixels, check_pictures, check_spending

PATCHES = ((2, 2), (2, 1), (1, 1))  # rows and columns of patches, bottom stage first
SCALES = 3  # N
BLOCKS = 2  # M and P, a scale in the encoder and in the decoder
SIZE_STEP = 2 * 2 ** (SCALES - 1)


@dataclass(frozen=True)
class SAPHNConfig:
    """Sizes and switches of the network; the defaults are the paper's non-uniform model.

    Attributes:
        widths: channels at full, half and quarter resolution.
        maps: attention maps of every attention (the paper's C2).
        max_offset: D_max in pixels of the map that is filtered.
        activation: of the attention maps: "softmax", or "elu" as an ablation.
        progressive: return every stage's picture, to be supervised (Prog.); otherwise the last.
        self_attention: SA in every block.
        cross_attention: CA to the encoder's features in every block of the decoders.
        cross_level: CLA to the lower stage's features at every scale; otherwise they are added.
        masks: M_S and M_C in every attention (Mask).
        kernels: predict V in every block.
        offsets: predict D in every block.
        sampling: sample pixels in the upper two stages (PAS).
    """

    widths: tuple[int, ...] = (32, 64, 240)
    maps: int = 32
    max_offset: float = 4.0
    activation: Activation = "softmax"
    progressive: bool = True
    self_attention: bool = True
    cross_attention: bool = True
    cross_level: bool = True
    masks: bool = True
    kernels: bool = True
    offsets: bool = True
    sampling: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) != SCALES or min(self.widths) < 1:
            raise ModelError(f"widths are {SCALES} positive numbers, got {self.widths}.")
        if self.maps < 1:
            raise ModelError(f"maps must be at least 1, got {self.maps}.")
        if not self.max_offset > 0:
            raise ModelError(f"max_offset must be above 0, got {self.max_offset}.")
        if self.activation not in ("softmax", "elu"):
            raise ModelError(f'activation is "softmax" or "elu", got {self.activation!r}.')


CONFIGS: dict[str, SAPHNConfig] = {
    "saphn": SAPHNConfig(),
    "saphn-uniform": SAPHNConfig(progressive=False, sampling=False),
    "saphn-uniform-light": SAPHNConfig(widths=(24, 40, 144), progressive=False, sampling=False),
}

# Table IV. The paper's text names what its ticks, lost in print, must be for most rows; that Net5
# keeps CA, and that of Net6 and Net7 one has offsets only and the other kernels only, is our
# reading.
_SWITCHES = (
    "progressive",
    "self_attention",
    "cross_attention",
    "cross_level",
    "masks",
    "kernels",
    "offsets",
    "sampling",
)
ABLATIONS: dict[str, dict[str, Any]] = {
    name: {switch: tick == "x" for switch, tick in zip(_SWITCHES, ticks, strict=True)}
    for name, ticks in {
        "net1": "--------",
        "net2": "-----x--",
        "net3": "-x--x---",
        "net4": "-xx-x---",
        "net5": "-xxxx---",
        "net6": "-xxxx-x-",
        "net7": "-xxxxx--",
        "net8": "-xxx-xx-",
        "net9": "-xxxxxx-",
        "net10": "xxxxxxx-",
        "net11": "xxxxxxxx",
    }.items()
}


class SAPHNRestored(NamedTuple):
    """A restored batch and how it came about.

    Attributes:
        restored: [B, 3, H, W], RGB, meant for [0, 1] but not clamped.
        stages: what to supervise, each like ``restored``: the pictures of stages 1 to 3, or with
            ``progressive`` off only the last.
        sampling: decisions of stages 2 and 3 at r = 2 and 4, in this order; empty without.
    """

    restored: Tensor
    stages: tuple[Tensor, ...]
    sampling: tuple[SampledPixels, ...]

    @property
    def supervised(self) -> tuple[Tensor, ...]:
        """Pictures that training compares with the sharp one, the last of them ``restored``."""
        return self.stages

    @property
    def blur_map(self) -> Tensor:
        """[B, 1, H, W] in [0, 1]: how surely the top stage samples a pixel at r = 2."""
        top = [one for one in self.sampling if one.ratio == 2][-1:]
        if not top:
            return torch.ones_like(self.restored[:, :1])
        return top[0].logits.sigmoid().to(self.restored.dtype)


class ContentAwareBlock(nn.Module):
    """x + mix(ReLU(content-aware module of x)), on all or some pixels of a map."""

    def __init__(self, config: SAPHNConfig, dim: int, *, decoder: bool) -> None:
        super().__init__()
        self.content = ContentAware(
            dim,
            config.maps,
            self_attention=config.self_attention,
            cross_attention=config.cross_attention and decoder,
            masks=config.masks,
            activation=config.activation,
            kernels=config.kernels,
            offsets=config.offsets,
            max_offset=config.max_offset,
        )
        self.mix = PixelLinear(dim, dim)

    def forward(
        self, x: Tensor, grid: int, selection: Selection | None, encoder: Tensor | None
    ) -> Tensor:
        """Process some pixels and put them back; with gradients off, into ``x`` itself.

        Args:
            x: [B, C, H, W].
            grid: side in pixels of the cells of the uniform grid X_u.
            selection: the pixels to process; None: all.
            encoder: [B, C, H/grid, W/grid], for cross-attention.
        """
        pixels = gather_pixels(x, selection)
        seen = self.content(x, pixels, coarsen(x, grid), selection, encoder)
        mixed = pixels + self.mix(F.relu(seen))
        return put_back(mixed, x, selection, overwrite=not torch.is_grad_enabled())


class CrossLevel(nn.Module):
    """Brings the lower stage's features into this one: by CLA, or by addition."""

    def __init__(self, config: SAPHNConfig, dim: int) -> None:
        super().__init__()
        self.attention = (
            LinearAttention(dim, config.maps, config.masks, config.activation)
            if config.cross_level
            else None
        )

    def forward(self, x: Tensor, lower: Tensor, grid: int, selection: Selection | None) -> Tensor:
        """[B, C, H, W] with the lower stage's [B, C, H/grid, W/grid] -> [B, C, H, W].

        With gradients off ``x`` may be overwritten.
        """
        pixels = gather_pixels(x, selection)
        if self.attention is None:
            nearest = lower.repeat_interleave(grid, 2).repeat_interleave(grid, 3)
            found = gather_pixels(nearest, selection)
        else:
            guide = coarsen(x, grid).flatten(2)
            found = self.attention(lower.flatten(2), guide, pixels)
        return put_back(pixels + found, x, selection, overwrite=not torch.is_grad_enabled())


class StageOutput(NamedTuple):
    """What a stage leaves to the next.

    Attributes:
        image: [B, 3, H, W], restored.
        features: [B, C, H/r, W/r] of the decoder, one a scale, finest first.
        sampling: one a sampled scale.
    """

    image: Tensor
    features: tuple[Tensor, ...]
    sampling: tuple[Sampling, ...]


class Stage(nn.Module):
    """An encoder and a decoder on the uniform grid.

    Args:
        config: sizes; see :class:`SAPHNConfig`.
        has_lower: whether a stage below hands over its features.
    """

    def __init__(self, config: SAPHNConfig, *, has_lower: bool) -> None:
        super().__init__()
        widths = config.widths

        def blocks(dim: int, decoder: bool) -> nn.ModuleList:
            made = (ContentAwareBlock(config, dim, decoder=decoder) for _ in range(BLOCKS))
            return nn.ModuleList(made)

        self.input_proj = nn.Conv2d(3, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(blocks(dim, decoder=False) for dim in widths)
        self.decoder = nn.ModuleList(blocks(dim, decoder=True) for dim in widths)
        self.cross_level = nn.ModuleList(CrossLevel(config, dim) for dim in widths if has_lower)
        self._add_resampling(widths)
        self.output_proj = nn.Conv2d(widths[0], 3, 3, padding=1)

    def _add_resampling(self, widths: Sequence[int]) -> None:
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs
        )
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1) for fine, coarse in pairs
        )

    def _grid(self, scale: int) -> int:
        """Side in pixels of a cell of X_u, on the stage's own maps of a scale."""
        return 1

    def _sample(self, features: Tensor | None, budget: float) -> tuple[Sampling, ...]:
        """Choose the pixels of every scale but the first; none: all of them."""
        return ()

    def _rise(self, scale: int, x: Tensor, skip: Tensor, selection: Selection | None) -> Tensor:
        """From the decoder's map of a scale to that of the next finer one."""
        return self.grow[scale - 1](x) + skip

    def forward(
        self, image: Tensor, lower: Sequence[Tensor] | None = None, budget: float = 0.0
    ) -> StageOutput:
        """Restore a picture or patch.

        Args:
            image: [B, 3, H, W], H and W multiples of 4.
            lower: [B, C, H/r, W/r] of the lower stage, finest first.
            budget: see :meth:`PixelSampler.forward`.
        """
        sampling = self._sample(None if lower is None else lower[0], budget)
        selections = [None, *(one.selection for one in sampling)] if sampling else [None] * SCALES
        # Sampled pixels are rows of channels; so are those of every map that follows.
        seen = image.to(self.input_proj.weight.dtype, memory_format=torch.channels_last)
        x, skips = self.input_proj(seen), []
        for scale, blocks in enumerate(self.encoder):
            grid, selection = self._grid(scale), selections[scale]
            if scale:
                x = self.shrink[scale - 1](x)
            if lower is not None:
                x = self.cross_level[scale](x, lower[scale], grid, selection)
            for block in cast("nn.ModuleList", blocks):
                x = block(x, grid, selection, None)
            skips.append(x)
        features = []
        for scale in reversed(range(SCALES)):
            grid, selection = self._grid(scale), selections[scale]
            encoder = coarsen(skips[scale], grid)
            for block in cast("nn.ModuleList", self.decoder[scale]):
                x = block(x, grid, selection, encoder)
            features.append(coarsen(x, grid))
            if scale:
                x = self._rise(scale, x, skips[scale - 1], selection)
        restored = image + self.output_proj(x).to(image.dtype)  # the picture itself stays unrounded
        return StageOutput(restored, tuple(features[::-1]), sampling)


class SampledStage(Stage):
    """The same with maps of full resolution at every scale, worked on where it is needed.

    The finest scale works on every pixel. At the others a sampler, which looks at the lower
    stage's finest features, chooses. Below the finest scale a pixel that is not chosen is only
    widened, pixel by pixel; on the way up it has the encoder's features of the finer scale.
    """

    def _add_resampling(self, widths: Sequence[int]) -> None:
        pairs = list(pairwise(widths))
        self.samplers = nn.ModuleList(
            PixelSampler(widths[0], share=1 / 4**scale) for scale in range(1, SCALES)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 1) for fine, coarse in pairs)
        self.narrow = nn.ModuleList(PixelLinear(coarse, fine) for fine, coarse in pairs)
        self.merge = nn.ModuleList(nn.Conv2d(fine, fine, 1) for fine, _ in pairs)

    def _grid(self, scale: int) -> int:
        return 2**scale

    def _sample(self, features: Tensor | None, budget: float) -> tuple[Sampling, ...]:
        return tuple(sampler(features, budget) for sampler in self.samplers)

    def _rise(self, scale: int, x: Tensor, skip: Tensor, selection: Selection | None) -> Tensor:
        refined = self.narrow[scale - 1](gather_pixels(x, selection))
        return self.merge[scale - 1](put_back(refined, skip, selection))


class SAPHN(DeblurringNetwork):
    """The network. In train mode pixels are drawn, in eval mode the likeliest are taken.

    Args:
        config: sizes and switches; see :class:`SAPHNConfig`.
    """

    def __init__(self, config: SAPHNConfig | None = None) -> None:
        super().__init__()
        self.config = config or SAPHNConfig()
        upper = SampledStage if self.config.sampling else Stage
        self.stages = nn.ModuleList(
            (upper if number else Stage)(self.config, has_lower=number > 0)
            for number in range(len(PATCHES))
        )

    @property
    def size_step(self) -> int:
        """Sides are padded to multiples of this many pixels: one cell in each of two patches."""
        return SIZE_STEP

    @property
    def features_per_pixel(self) -> int:
        """Measured at 256 x 256: 901 and, sampled, 1362 with the widths of the paper's models."""
        return (5 if self.config.sampling else 4) * sum(self.config.widths)

    @property
    def milestones(self) -> list[nn.Module]:
        """Stages 1 to 3."""
        return list(self.stages)

    @property
    def takes_budget(self) -> bool:
        """Whether pixels are sampled."""
        return self.config.sampling

    def forward(self, blurred: Tensor, *, budget: float = 0.0) -> SAPHNRestored:
        """Restore a batch.

        Args:
            blurred: [B, 3, H, W] float RGB in [0, 1], any H and W from 1.
            budget: how many more pixels to sample than uniform stages would process, from -0.5
                (half) to 1 (twice); other than 0 only for a network with sampling.

        Raises:
            InputError: a tensor of another shape or type, or a budget that cannot be.
        """
        check_pictures(blurred)
        check_spending(budget, sampling=self.config.sampling)
        h, w = blurred.shape[-2:]
        image = pad_to_multiple(blurred, SIZE_STEP)
        images, sampling, features = [], [], None
        for number, (stage, patches) in enumerate(zip(self.stages, PATCHES, strict=True), start=1):
            lower = None if features is None else [split_patches(one, *patches) for one in features]
            out: StageOutput = stage(split_patches(image, *patches), lower, budget)
            image = join_patches(out.image, *patches)
            features = [join_patches(one, *patches) for one in out.features]
            images.append(image[..., :h, :w])
            for scale, one in enumerate(out.sampling, start=1):
                logits, drawn = (
                    join_patches(m, *patches)[..., :h, :w] for m in (one.logits, one.drawn)
                )
                sampling.append(SampledPixels(number, 2**scale, logits, drawn, one.share))
        stages = images if self.config.progressive else images[-1:]
        return SAPHNRestored(images[-1], tuple(stages), tuple(sampling))


def coarsen(x: Tensor, grid: int) -> Tensor:
    """Means of grid x grid pixels: [B, C, H, W] -> [B, C, H/grid, W/grid]."""
    return x if grid == 1 else F.avg_pool2d(x, grid)

"""SRN: scale-recurrent network for deblurring (Tao et al., CVPR 2018).

Reads downwards: configuration, network. One encoder-decoder with shared weights restores the
picture at a quarter, at half and at full size; each scale sees the blurred picture beside the
coarser scale's result, and a ConvLSTM in the bottleneck carries what was found there.

With sampling it is the non-uniform SRN of SAPHN's Table VI. The paper says only that its sampling
was put in; what follows stays as close to the uniform network as that allows. The smallest picture
is restored as before. For the others the encoder-decoder keeps maps of full resolution at r = 2
and 4 and works there on L = H * W / r^2 pixels, chosen by the last features of the smaller picture,
brought to its size bilinearly. All pictures still share the weights; in place of a convolution
over a smaller map the same kernel meets a finer neighbourhood at each sampled pixel. What differs:

- The strided convolutions run at the sampled pixels; a 1x1 convolution widens the others.
- The ConvLSTM's memory has full resolution and is renewed at the sampled pixels of r = 4; the
  others keep what they remember, and hand it on.
- The transposed convolutions are 1x1 ones at the sampled pixels, to which the encoder's features
  are added as before. The others have the encoder's features alone, and a 1x1 convolution merges
  both.
- One sampler each for r = 2 and 4 serves every picture.
- Training supervises every picture, as SAPHN's does: the transposed convolutions make only the
  smallest.

| model | parameters | multiply-adds at 3 x 256 x 256 |
| --- | --- | --- |
| srn | 8.06 M | 89.8 G |
| srn-nu | 8.09 M | 90.3 G (-10 %: 84.5, +10 %: 96.2, +20 %: 102.0) |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.errors import ModelError
from unsmear.layers.conv_lstm import ConvLSTM, Memory
from unsmear.layers.picture_conv import PictureConv
from unsmear.layers.pixel_sampling import (
    PixelSampler,
    Sampling,
    gather_pixels,
)
from unsmear.layers.residual import ResidualBlock, run_blocks
from unsmear.layers.sampled_scales import ScaleBridge
from unsmear.models.network import DeblurringNetwork
from unsmear.models.padding import pad_to_multiple
from unsmear.models.staged import SampledPixels, Staged, check_pictures, check_spending

RATIOS = (2, 4)  # r of the stages of the encoder that sample
SHRINKAGE = 4  # pixels of a scale's picture in one pixel of the bottleneck, a side


@dataclass(frozen=True)
class SRNConfig:
    """Sizes of the network; the defaults are the paper's.

    Attributes:
        embed_dim: C, channels in full resolution; 2C at half and 4C at a quarter of it.
        blocks: residual blocks per encoder and per decoder stage.
        kernel_size: side of the kernels, but for upsampling (4) and in the ConvLSTM (3); odd.
        scales: passes through the network, each at twice the size of the one before.
        sampling: sample pixels at every scale but the smallest.
    """

    embed_dim: int = 32
    blocks: int = 3
    kernel_size: int = 5
    scales: int = 3
    sampling: bool = False

    def __post_init__(self) -> None:
        for name in ("embed_dim", "blocks", "scales"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ModelError(f"kernel_size must be odd and positive, got {self.kernel_size}.")
        if self.sampling and self.scales == 1:
            raise ModelError("Sampling follows a smaller scale; give SRN 2 scales or more.")


class ScaleOutput(NamedTuple):
    """What a scale leaves to the next.

    Attributes:
        picture: [B, 3, H, W], restored.
        features: [B, C, H, W], the decoder's last.
        memory: of the bottleneck, [B, 4C, H / 4, W / 4]; where pixels are sampled [B, 4C, H, W].
        sampling: at r = 2 and 4; empty where nothing is sampled.
    """

    picture: Tensor
    features: Tensor
    memory: Memory
    sampling: Sequence[Sampling] = ()


class SRN(DeblurringNetwork):
    """The network. With sampling, pixels are drawn in train mode; in eval mode the likeliest win.

    Args:
        config: sizes; see :class:`SRNConfig`.
    """

    def __init__(self, config: SRNConfig | None = None) -> None:
        super().__init__()
        self.config = config or SRNConfig()
        c, k = self.config.embed_dim, self.config.kernel_size
        self.encoder = nn.ModuleList(
            [self._shrink(6, c, stride=1), self._shrink(c, 2 * c), self._shrink(2 * c, 4 * c)]
        )
        self.decoder = nn.ModuleList([self._grow(4 * c), self._grow(2 * c)])
        self.output_proj = nn.Sequential(*self._blocks(c), PictureConv(c, 3, k, padding=k // 2))
        sampled = list(pairwise((c, 2 * c, 4 * c))) if self.config.sampling else []
        self.bridges = nn.ModuleList(ScaleBridge(fine, coarse) for fine, coarse in sampled)
        self.apply(_initialise)
        self.memory = ConvLSTM(4 * c)  # this and the samplers keep their own first weights
        self.samplers = nn.ModuleList(
            PixelSampler(c, share=1 / ratio**2) for ratio, _ in zip(RATIOS, sampled, strict=False)
        )

    def _blocks(self, dim: int) -> list[ResidualBlock]:
        return [ResidualBlock(dim, self.config.kernel_size) for _ in range(self.config.blocks)]

    def _shrink(self, dim: int, wider: int, stride: int = 2) -> nn.Sequential:
        k = self.config.kernel_size
        conv = nn.Conv2d(dim, wider, k, stride=stride, padding=k // 2)
        return nn.Sequential(conv, nn.ReLU(inplace=True), *self._blocks(wider))

    def _grow(self, dim: int) -> nn.Sequential:
        conv = nn.ConvTranspose2d(dim, dim // 2, 4, stride=2, padding=1)
        return nn.Sequential(*self._blocks(dim), conv, nn.ReLU(inplace=True))

    @property
    def size_step(self) -> int:
        """Sides are padded to multiples of this many pixels: one of the smallest bottleneck."""
        return SHRINKAGE * 2 ** (self.config.scales - 1)

    @property
    def features_per_pixel(self) -> int:
        """Measured at 256 x 256: 256 and, sampled, 1157 in the published width."""
        return (37 if self.config.sampling else 9) * self.config.embed_dim

    @property
    def takes_budget(self) -> bool:
        """Whether pixels are sampled."""
        return self.config.sampling

    def forward(self, blurred: Tensor, *, budget: float = 0.0) -> Staged:
        """Restore a batch.

        Args:
            blurred: [B, 3, H, W] float RGB in [0, 1], any H and W from 1.
            budget: how many more pixels to sample than uniform scales would process, from -0.5
                (half) to 1 (twice); other than 0 only for a network with sampling.

        Returns:
            The restored batch; its ``stages`` are the results of the smaller scales. Training
            compares each with the sharp picture in its size. As in the authors' code, no gradient
            flows back through a picture to the scale that made it, only through the memory.

        Raises:
            InputError: a tensor of another shape or type, or a budget that cannot be.
        """
        check_pictures(blurred)
        check_spending(budget, sampling=self.config.sampling)
        image = pad_to_multiple(blurred, self.size_step)
        dtype = next(self.parameters()).dtype
        h, w = blurred.shape[-2:]
        left: ScaleOutput | None = None
        pictures, sampled = [], []
        for stage in range(1, self.config.scales + 1):
            factor = 2 ** (self.config.scales - stage)
            small = F.avg_pool2d(image, factor)  # [B, 3, H / factor, W / factor]
            if left is None:
                left = self._restore(torch.cat([small, small], dim=1).to(dtype), None)
            else:
                before = _resize(left.picture.detach(), small)
                both = torch.cat([small, before], dim=1).to(dtype)
                if self.config.sampling:
                    left = self._restore_sampled(both, left, budget)
                else:
                    left = self._restore(both, left.memory)
            rows, columns = -(-h // factor), -(-w // factor)
            pictures.append(left.picture[..., :rows, :columns].to(blurred.dtype))
            for ratio, one in zip(RATIOS, left.sampling, strict=False):
                logits, drawn = (x[..., :rows, :columns] for x in (one.logits, one.drawn))
                sampled.append(SampledPixels(stage, ratio, logits, drawn, one.share))
        return Staged(pictures[-1], tuple(pictures[:-1]), tuple(sampled))

    def _restore(self, pictures: Tensor, memory: Memory | None) -> ScaleOutput:
        """One scale, on all pixels.

        Args:
            pictures: [B, 6, H, W], blurred and the smaller scale's result.
            memory: what the smaller scale left.
        """
        x, skips = pictures, []
        for stage in self.encoder:
            x = stage(x)  # [B, C * 2**i, H / 2**i, W / 2**i]
            skips.append(x)
        x = skips.pop()
        x, after = self.memory(x, None if memory is None else _resize_memory(memory, x))
        for stage in self.decoder:
            x = stage(x) + skips.pop()
        features = self.output_proj[:-1](x)
        return ScaleOutput(self.output_proj[-1](features), features, after)

    def _restore_sampled(self, pictures: Tensor, left: ScaleOutput, budget: float) -> ScaleOutput:
        """One scale, at r = 2 and 4 on sampled pixels of maps of full resolution.

        Args:
            pictures: [B, 6, H, W], blurred and the smaller scale's result.
            left: by the smaller scale.
            budget: see :meth:`forward`.
        """
        seen = _resize(left.features.detach(), pictures)
        sampling = [sampler(seen, budget) for sampler in self.samplers]
        scales = [
            (cast("ScaleBridge", bridge), one.selection)
            for bridge, one in zip(self.bridges, sampling, strict=True)
        ]
        first, *stages = cast("list[nn.Sequential]", list(self.encoder))
        x, skips = first(pictures), []
        for stage, (bridge, selection) in zip(stages, scales, strict=True):
            skips.append(x)
            conv, relu, *blocks = stage
            x = relu(bridge.descend(x, cast("nn.Conv2d", conv), selection))
            x = run_blocks(blocks, x, selection)
        x, after = self.memory(x, _resize_memory(left.memory, x), scales[-1][1])
        stages = cast("list[nn.Sequential]", list(self.decoder))
        for stage, (bridge, selection) in zip(stages, reversed(scales), strict=True):
            *blocks, _, relu = stage
            skip = skips.pop()
            x = run_blocks(blocks, x, selection)
            pixels = relu(bridge.refined(x, selection)) + gather_pixels(skip, selection)
            x = bridge.ascend(pixels, skip, selection)
        features = self.output_proj[:-1](x)
        return ScaleOutput(self.output_proj[-1](features), features, after, sampling)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear")


def _resize_memory(memory: Memory, like: Tensor) -> Memory:
    return Memory(_resize(memory.hidden, like), _resize(memory.cell, like))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(cast("Tensor", module.bias))

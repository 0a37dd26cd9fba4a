"""SRN: scale-recurrent network for deblurring (Tao et al., CVPR 2018).

Reads downwards: configuration, network. One encoder-decoder with shared weights restores the
picture at a quarter, at half and at full size; each scale sees the blurred picture beside the
coarser scale's result, and a ConvLSTM in the bottleneck carries what was found there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.errors import ModelError
from unsmear.layers.conv_lstm import ConvLSTM, Memory
from unsmear.layers.residual import ResidualBlock
from unsmear.models.lmdvit import pad_to_multiple
from unsmear.models.staged import Staged, check_pictures

SHRINKAGE = 4  # pixels of a scale's picture in one pixel of the bottleneck, a side


@dataclass(frozen=True)
class SRNConfig:
    """Sizes of the network; the defaults are the paper's.

    Attributes:
        embed_dim: C, channels in full resolution; 2C at half and 4C at a quarter of it.
        blocks: residual blocks per encoder and per decoder stage.
        kernel_size: side of the kernels, but for upsampling (4) and in the ConvLSTM (3); odd.
        scales: passes through the network, each at twice the size of the one before.
    """

    embed_dim: int = 32
    blocks: int = 3
    kernel_size: int = 5
    scales: int = 3

    def __post_init__(self) -> None:
        for name in ("embed_dim", "blocks", "scales"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ModelError(f"kernel_size must be odd and positive, got {self.kernel_size}.")


class SRN(nn.Module):
    """The network.

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
        self.output_proj = nn.Sequential(*self._blocks(c), nn.Conv2d(c, 3, k, padding=k // 2))
        self.apply(_initialise)
        self.memory = ConvLSTM(4 * c)  # keeps its own first weights

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

    def forward(self, blurred: Tensor) -> Staged:
        """Restore a batch.

        Args:
            blurred: [B, 3, H, W] float RGB in [0, 1], any H and W from 1.

        Returns:
            The restored batch; its ``stages`` are the results of the smaller scales. Training
            compares each with the sharp picture in its size. As in the authors' code, no gradient
            flows back through a picture to the scale that made it, only through the memory.

        Raises:
            InputError: a tensor of another shape or type.
        """
        check_pictures(blurred)
        padded = pad_to_multiple(blurred, self.size_step)
        image = padded.to(next(self.parameters()).dtype)
        factors = [2**power for power in reversed(range(self.config.scales))]
        restored: list[Tensor] = []
        memory: Memory | None = None
        for factor in factors:
            small = F.avg_pool2d(image, factor)  # [B, 3, H / factor, W / factor]
            if memory is None:
                before = small
            else:
                before = _double(restored[-1].detach())
                memory = Memory(_double(memory.hidden), _double(memory.cell))
            result, memory = self._restore(torch.cat([small, before], dim=1), memory)
            restored.append(result)
        h, w = blurred.shape[-2:]
        pictures = [
            result[..., : -(-h // factor), : -(-w // factor)].to(blurred.dtype)
            for result, factor in zip(restored, factors, strict=True)
        ]
        return Staged(pictures[-1], tuple(pictures[:-1]))

    def _restore(self, pictures: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """One scale: blurred and coarser result [B, 6, H, W] -> [B, 3, H, W], and the memory."""
        x, skips = pictures, []
        for stage in self.encoder:
            x = stage(x)  # [B, C * 2**i, H / 2**i, W / 2**i]
            skips.append(x)
        x, after = self.memory(skips.pop(), memory)
        for stage in self.decoder:
            x = stage(x) + skips.pop()
        return self.output_proj(x), after


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(cast("Tensor", module.bias))

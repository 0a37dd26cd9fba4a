"""The residual block of the convolutional networks."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Sequential):
    """Convolution, ReLU, convolution, added to the input.

    Args:
        dim: channels in and out.
        kernel_size: side of both kernels; odd.
    """

    def __init__(self, dim: int, kernel_size: int = 3) -> None:
        super().__init__(
            nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2),
        )

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return input + super().forward(input)

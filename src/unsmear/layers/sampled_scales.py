"""Convolutions at sampled pixels, and the way between scales that keep every pixel (SAPHN 3.1).

With these a convolutional U-shaped network works at its coarse scales on L sampled pixels of maps
of full resolution, where it worked on every pixel of a smaller map. Shapes: B images, C channels,
H x W pixels, L of them sampled.
"""

from __future__ import annotations

from torch import Tensor, nn

from unsmear.layers.pixel_filter import filter_pixels
from unsmear.layers.pixel_linear import PixelLinear
from unsmear.layers.pixel_sampling import Selection, gather_pixels, put_back


def convolve_pixels(conv: nn.Conv2d, x: Tensor, selection: Selection) -> Tensor:
    """What a convolution makes of some pixels of a map: [B, C, H, W] -> [B, O, L].

    The kernel is square and odd. A pixel's neighbours are those of the whole map, and outside of
    it is 0; the layer's own stride and padding are not looked at.
    """
    return filter_pixels(x, conv.weight, conv.bias, None, None, selection)


class ScaleBridge(nn.Module):
    """Joins a finer and a coarser scale whose maps both have full resolution.

    Sampled pixels are worked on at the coarser scale. The others are only widened on the way down,
    and have the encoder's features of the finer scale on the way up.

    Args:
        fine: channels of the finer scale.
        coarse: channels of the coarser scale.
    """

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(fine, coarse, 1)
        self.narrow = PixelLinear(coarse, fine)
        self.merge = nn.Conv2d(fine, fine, 1)

    def descend(self, x: Tensor, conv: nn.Conv2d, selection: Selection) -> Tensor:
        """To the coarser scale: by ``conv`` where sampled, widened elsewhere.

        Args:
            x: [B, fine, H, W].
            conv: from ``fine`` to ``coarse`` channels; its stride is not looked at.
            selection: the pixels of the coarser scale.

        Returns:
            [B, coarse, H, W].
        """
        return put_back(convolve_pixels(conv, x, selection), self.widen(x), selection)

    def refined(self, x: Tensor, selection: Selection) -> Tensor:
        """The sampled pixels in the finer scale's channels: [B, coarse, H, W] -> [B, fine, L]."""
        return self.narrow(gather_pixels(x, selection))

    def ascend(self, pixels: Tensor, skip: Tensor, selection: Selection) -> Tensor:
        """To the finer scale: refined pixels in place, the others from the encoder, merged.

        Args:
            pixels: [B, fine, L].
            skip: [B, fine, H, W], the encoder's features of the finer scale.
            selection: where ``pixels`` lie.

        Returns:
            [B, fine, H, W].
        """
        return self.merge(put_back(pixels, skip, selection))

"""Pixel-dependent filtering: the local branch of SAPHN (section 3.2.4, eqs. 17 and 18).

Shapes: B images, C channels, H x W pixels, L of them filtered, K x K taps a filter. Neighbours are
gathered for a piece of the pixels at a time and never for the whole picture; by the kernel of
``unsmear.kernels``, which computes the same on CUDA without gradients, not even that.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unsmear.kernels import can_fuse
from unsmear.layers.chunks import ACCELERATOR_ELEMENTS, chunk_length
from unsmear.layers.pixel_sampling import Selection


class PixelFilter(nn.Module):
    """A convolution whose taps are weighted and moved for every pixel by what the pixel shows.

    Fresh layers have V = 1 and D = 0, which is a plain convolution with zeros around the map.

    Args:
        dim: C, in and out.
        kernel_size: K, odd.
        kernels: predict V; without it V = 1.
        offsets: predict D; without it D = 0.
        max_offset: D_max in pixels; each coordinate of an offset lies in [-D_max, D_max].
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int = 5,
        kernels: bool = True,
        offsets: bool = True,
        max_offset: float = 4.0,
    ) -> None:
        super().__init__()
        self.kernel_size, self.max_offset = kernel_size, max_offset
        taps = kernel_size**2
        fixed = nn.Conv2d(dim, dim, kernel_size)  # W; gives it torch's usual initial values
        self.weight, self.bias = fixed.weight, fixed.bias
        self.kernel_head = nn.Conv1d(dim, taps, 1) if kernels else None  # f_ker
        self.offset_head = nn.Conv1d(dim, 2 * taps, 1) if offsets else None  # f_off
        for head, value in ((self.kernel_head, 1.0), (self.offset_head, 0.0)):
            if head is not None:
                nn.init.zeros_(head.weight)
                nn.init.constant_(head.get_parameter("bias"), value)

    def kernels(self, pixels: Tensor) -> Tensor | None:
        """V, shared by all channels: [B, C, L] -> [B, L, K * K]; None where it is 1."""
        return None if self.kernel_head is None else self.kernel_head(pixels).transpose(1, 2)

    def offsets(self, pixels: Tensor) -> Tensor | None:
        """D as (x, y) in pixels, shared by all channels: [B, C, L] -> [B, L, K * K, 2].

        Every coordinate lies in [-D_max, D_max]; None where it is 0.
        """
        if self.offset_head is None:
            return None
        moved = self.max_offset * self.offset_head(pixels).tanh()
        return moved.transpose(1, 2).unflatten(2, (self.kernel_size**2, 2))

    def forward(self, x: Tensor, pixels: Tensor, selection: Selection | None) -> Tensor:
        """Filter some pixels of a map; their neighbours come from the whole map.

        Args:
            x: [B, C, H, W].
            pixels: [B, C, L], what V and D are predicted from.
            selection: where the L pixels lie; None: all of them, in order.

        Returns:
            Y_dyn, [B, C, L].
        """
        kernels, offsets = self.kernels(pixels), self.offsets(pixels)
        if kernels is None and offsets is None and selection is None:
            padding = self.kernel_size // 2
            return F.conv2d(x, self.weight, self.bias, padding=padding).flatten(2)
        return filter_pixels(x, self.weight, self.bias, kernels, offsets, selection)


def filter_pixels(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernels: Tensor | None,
    offsets: Tensor | None,
    selection: Selection | None,
) -> Tensor:
    """Sum over taps k of V_k W_k x[j + j_k + D_k] for every selected pixel j (eqs. 17 and 18).

    Between pixels x is interpolated bilinearly, and outside of the map it is 0. Pieces are
    computed one after the other, in training once more on the way back, so that at most one
    piece's neighbours exist.

    Args:
        x: [B, C, H, W].
        weight: W, [O, C, K, K].
        bias: [O].
        kernels: V, [B, L, K * K]; None: 1.
        offsets: D as (x, y) in pixels, [B, L, K * K, 2]; None: 0.
        selection: where the L pixels lie; None: all of them, in order.

    Returns:
        [B, O, L].
    """
    if can_fuse(x):
        from unsmear.kernels import pixel_filter as fused

        index = None if selection is None else selection.index
        return fused.filter_pixels(x, weight, bias, kernels, offsets, index)
    b, c, h, w = x.shape
    everything = torch.arange(h * w, device=x.device)[None]  # [1, L], the same in every image
    index = everything if selection is None else selection.index
    learning = torch.is_grad_enabled()
    size = b * c * weight.shape[-1] ** 2
    # On the way back every piece costs a pass over the whole map: there, pieces are large.
    length = max(64, ACCELERATOR_ELEMENTS // size) if learning else chunk_length(size, x.device)
    filtered = []
    for start in range(0, index.shape[1], length):
        part = slice(start, start + length)
        arguments = (
            x,
            weight,
            bias,
            None if kernels is None else kernels[:, part],
            None if offsets is None else offsets[:, part],
            index[:, part],
        )
        filtered.append(
            checkpoint(_filter_piece, *arguments, use_reentrant=False, preserve_rng_state=False)
            if learning
            else _filter_piece(*arguments)
        )
    return torch.cat(filtered, dim=2)


def _filter_piece(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernels: Tensor | None,
    offsets: Tensor | None,
    index: Tensor,
) -> Tensor:
    """The same for pixels given by number, [B or 1, L], all at once."""
    b, _, h, w = x.shape
    exact = torch.promote_types(x.dtype, torch.float32)  # half cannot tell one pixel from the next
    places = torch.stack([index % w, index // w], dim=-1).to(exact)[:, None]  # [B, 1, L, 2]
    places = places + _taps(weight.shape[-1], x.device).to(exact)[:, None]
    if offsets is not None:
        places = places + offsets.to(exact).transpose(1, 2)
    grid = (2 * places + 1) / places.new_tensor([w, h]) - 1  # -1 and 1 are the map's outer edges
    neighbours = F.grid_sample(
        x.to(exact), grid.expand(b, -1, -1, -1), padding_mode="zeros", align_corners=False
    ).to(x.dtype)  # [B, C, K * K, L]
    if kernels is not None:
        neighbours = neighbours * kernels.transpose(1, 2)[:, None].to(x.dtype)
    # Taps beside their channels, so that one product takes both; a convolution would be slower.
    filtered = weight.flatten(1) @ neighbours.flatten(1, 2)
    return filtered if bias is None else filtered + bias[:, None].to(filtered.dtype)


def _taps(kernel_size: int, device: torch.device) -> Tensor:
    """j_k, the places of the taps around their pixel as (x, y), row by row: [K * K, 2]."""
    side = torch.arange(kernel_size, device=device) - kernel_size // 2
    y, x = torch.meshgrid(side, side, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)

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
from unsmear.layers.pixel_linear import PixelLinear
from unsmear.layers.pixel_sampling import Selection, pixel_rows
from unsmear.layers.row_sums import sum_rows

# Elements of the neighbours in one piece.
SMALL_PIECE = 1024 * 1024  # stays in the processor's cache
LARGE_PIECE = 64 * 1024 * 1024


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
        self.kernel_head = PixelLinear(dim, taps) if kernels else None  # f_ker
        self.offset_head = PixelLinear(dim, 2 * taps) if offsets else None  # f_off
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
    b, _, h, w = x.shape
    everything = torch.arange(h * w, device=x.device)[None]  # [1, L], the same in every image
    index = everything if selection is None else selection.index
    exact = torch.promote_types(x.dtype, torch.float32)  # half cannot tell one pixel from the next
    rows = pixel_rows(x.to(exact))
    weight = weight.contiguous(memory_format=torch.channels_last)
    learning = torch.is_grad_enabled()
    # On the way back every piece costs a pass over the whole map: there, pieces are large.
    large = learning or x.device.type != "cpu"
    length = max(64, (LARGE_PIECE if large else SMALL_PIECE) // (b * weight[0].numel()))
    filtered = []
    for start in range(0, index.shape[1], length):
        part = slice(start, start + length)
        arguments = (
            rows,
            weight,
            bias,
            None if kernels is None else kernels[:, part],
            None if offsets is None else offsets[:, part],
            index[:, part].expand(b, -1),
            (h, w),
        )
        filtered.append(
            checkpoint(_filter_piece, *arguments, use_reentrant=False, preserve_rng_state=False)
            if learning
            else _filter_piece(*arguments)
        )
    return torch.cat(filtered, dim=1).transpose(1, 2)


def _filter_piece(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernels: Tensor | None,
    offsets: Tensor | None,
    index: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """The same for pixels given by number, all at once.

    Args:
        rows: x, [B * H * W, C], of 32 bits or more.
        weight: W, [O, C, K, K].
        bias: [O].
        kernels: V, [B, L, K * K].
        offsets: D, [B, L, K * K, 2].
        index: numbers of the pixels in their image, [B, L].
        size: H and W.

    Returns:
        [B, L, O].
    """
    sources, shares = _corners(index, kernels, offsets, size, weight.shape[-1], rows.dtype)
    neighbours = sum_rows(rows, sources, shares).to(weight.dtype)  # [B * L * K * K, C]
    # Taps beside their channels, so that one product takes both; a convolution would be slower.
    matrix = pixel_rows(weight).view(len(weight), -1)
    return F.linear(neighbours.view(*index.shape, -1), matrix, bias)


def _corners(
    index: Tensor,
    kernels: Tensor | None,
    offsets: Tensor | None,
    size: tuple[int, int],
    kernel_size: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Where x[j + j_k + D_k] comes from: the pixels around that place, and V_k times their shares.

    Takes what :func:`_filter_piece` does.

    Returns:
        Rows and shares, two [B * L * K * K, 4]; without offsets [B * L * K * K, 1].
    """
    h, w = size
    # All below is [2 (ends), 2 (x, y), B, L, K * K] until the ends of both axes are combined.
    taps = _taps(kernel_size, index.device)[:, None, None]
    places = torch.stack([index % w, index // w])[..., None].int() + taps
    if offsets is None:
        ends, shares = places[None], torch.ones_like(places, dtype=dtype)[None]
    else:
        moved = offsets.movedim(3, 0).to(dtype)
        whole = moved.detach().floor()
        beyond = moved - whole
        places = places + whole.int()
        ends, shares = torch.stack([places, places + 1]), torch.stack([1 - beyond, beyond])
    last = places.new_tensor([w - 1, h - 1]).view(2, 1, 1, 1)
    inside = torch.minimum(ends.clamp(min=0), last)  # also where the place is not a number
    shares = shares * (inside == ends)
    (x, y), (share_x, share_y) = inside.unbind(1), shares.unbind(1)
    y = y + h * torch.arange(len(index), dtype=y.dtype, device=y.device)[:, None, None]
    if kernels is not None:
        share_y = share_y * kernels.to(dtype)
    rows, shares = y[:, None] * w + x, share_y[:, None] * share_x
    return _corner_last(rows), _corner_last(shares)


def _corner_last(x: Tensor) -> Tensor:
    """[2 (top, bottom), 2 (left, right), ...] -> [..., 4]: all corners of a place side by side."""
    return x.flatten(0, 1).movedim(0, -1).reshape(-1, len(x) ** 2)


def _taps(kernel_size: int, device: torch.device) -> Tensor:
    """j_k, the places of the taps around their pixel, x and y, row by row: [2, K * K] int32."""
    side = torch.arange(kernel_size, device=device, dtype=torch.int32) - kernel_size // 2
    return torch.stack([side.repeat(kernel_size), side.repeat_interleave(kernel_size)])

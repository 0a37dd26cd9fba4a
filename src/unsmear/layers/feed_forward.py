"""Locally-enhanced feed-forward layers: W-LeFF inside windows, LeFF over the whole map."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear import native
from unsmear.layers.chunks import chunk_length
from unsmear.layers.ordinary import is_ordinary
from unsmear.layers.second_derivatives import differentiable_gradients


class LocallyEnhancedFeedForward(nn.Module):
    """Linear C -> rC, GELU, depthwise 3x3, GELU, linear rC -> C (Uformer's LeFF; LMD-ViT 3.2.3).

    The same weights serve both forms: ``windowed`` (W-LeFF) reflects each window at its own
    border, so a window needs nothing from its neighbours; the global form (LeFF) sees them.
    """

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        hidden = dim * ratio
        self.expand = nn.Linear(dim, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, groups=hidden)
        self.reduce = nn.Linear(hidden, dim)

    def windowed(self, tokens: Tensor) -> Tensor:
        """W-LeFF: [K, M * M, C] -> the same."""
        hidden, depthwise = self.expand(tokens), self.depthwise
        if _can_mix(hidden) and is_ordinary(depthwise, nn.Conv2d):
            return self.reduce(_MixWindows.apply(hidden, depthwise.weight, depthwise.bias))
        return self.reduce(_mix_windows(hidden, depthwise))

    def whole(self, x: Tensor) -> Tensor:
        """LeFF: [B, H, W, C] -> the same; zeros lie around the map.

        Without gradients it is computed in bands of rows, so that the hidden features of a large
        picture never exist at once.
        """
        if torch.is_grad_enabled():
            return self._band(x, 1, 1)
        rows = max(1, chunk_length(x.shape[-1], x.device) // (x.shape[0] * x.shape[2]))
        out = torch.empty_like(x)
        for top in range(0, x.shape[1], rows):
            bottom = min(top + rows, x.shape[1])
            above, below = min(1, top), min(1, x.shape[1] - bottom)
            band = x[:, top - above : bottom + below]
            out[:, top:bottom] = self._band(band, 1 - above, 1 - below)
        return out

    def _band(self, x: Tensor, pad_above: int, pad_below: int) -> Tensor:
        hidden = F.pad(F.gelu(self.expand(x)), (0, 0, 1, 1, pad_above, pad_below))
        return self.reduce(_filter(hidden, self.depthwise))


def _filter(hidden: Tensor, depthwise: Callable[[Tensor], Tensor]) -> Tensor:
    """Depthwise 3x3 without padding and GELU on padded tokens: [K, h, w, rC]."""
    return F.gelu(depthwise(hidden.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


def _mix_windows(hidden: Tensor, depthwise: Callable[[Tensor], Tensor]) -> Tensor:
    """GELU, depthwise 3x3 and GELU between W-LeFF's two linear layers: [K, M * M, rC]."""
    k, count, channels = hidden.shape
    m = round(count**0.5)
    windows = reflect_borders(F.gelu(hidden).reshape(k, m, m, channels))
    return _filter(windows, depthwise).reshape(k, count, channels)


def reflect_borders(windows: Tensor) -> Tensor:
    """Reflect one token at each border: [K, M, M, C] -> [K, M + 2, M + 2, C]."""
    return cast("Tensor", _ReflectBorders.apply(windows))


class _ReflectBorders(torch.autograd.Function):
    """Joined slices, whose own backward would fill and add six maps of zeros.

    Joining keeps channels innermost, where torch's reflection pad would transpose twice.
    """

    @staticmethod
    def forward(windows: Tensor) -> Tensor:
        windows = torch.cat([windows[:, 1:2], windows, windows[:, -2:-1]], dim=1)
        return torch.cat([windows[:, :, 1:2], windows, windows[:, :, -2:-1]], dim=2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del ctx, inputs, output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        del ctx
        return _fold(_fold(grads[0], 1), 2)


def _fold(padded: Tensor, dim: int) -> Tensor:
    """Add the first and the last slice to the ones that they reflect."""
    count = padded.shape[dim]
    inner = padded.narrow(dim, 1, count - 2).clone()
    inner.select(dim, 1).add_(padded.select(dim, 0))
    inner.select(dim, count - 4).add_(padded.select(dim, count - 1))
    return inner


def _can_mix(hidden: Tensor) -> bool:
    """Whether gradients are asked for and the compiled kernel takes W-LeFF's hidden features."""
    wanted = hidden.requires_grad and not torch.compiler.is_compiling()
    return wanted and native.WindowMixing.fits(hidden)


class _MixWindows(torch.autograd.Function):
    """:func:`_mix_windows`, compiled, and computed again on the way back.

    Training writes only the hidden features.
    """

    @staticmethod
    def forward(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return _MixWindows._mixing(hidden, weight, bias).run()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():

            def plain(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
                filtered = partial(F.conv2d, weight=weight, bias=bias, groups=len(weight))
                return _mix_windows(hidden, filtered)

            return differentiable_gradients(plain, (hidden, weight, bias), grads[0])
        mixing = _MixWindows._mixing(hidden, weight, bias)
        hidden_slope, tap_slopes, bias_slope = mixing.gradients(grads[0])
        return (
            hidden_slope,
            tap_slopes.T.reshape(weight.shape).to(weight.dtype).contiguous(),
            bias_slope.to(bias.dtype),
        )

    @staticmethod
    def _mixing(hidden: Tensor, weight: Tensor, bias: Tensor) -> native.WindowMixing:
        return native.WindowMixing(hidden, weight.flatten(1).T, bias)

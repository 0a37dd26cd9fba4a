"""AdaWPT: Transformer blocks that prune the windows which are not blurred (LMD-ViT section 3.2).

One :class:`AdaWPT` is what a U-shaped network puts at each of its stages: a sequence of window
blocks, every second one on a shifted partition, with a confidence predictor in front of the first
unshifted and of the first shifted block. The later blocks reuse the decision of their own shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, cast, get_args

import torch
from torch import Tensor, nn

from unsmear.errors import InputError, ModelError
from unsmear.layers.attention import WindowAttention
from unsmear.layers.confidence import ConfidencePredictor, decide, sample_decision, window_scores
from unsmear.layers.drop_path import drop_path_factor
from unsmear.layers.fast import FastBlock, fast_block
from unsmear.layers.feed_forward import LocallyEnhancedFeedForward
from unsmear.layers.foldable import is_foldable
from unsmear.layers.norm import LayerNorm
from unsmear.layers.remembered import Remembered
from unsmear.layers.windows import WindowGrid, merge_windows, partition_windows, seam_masks

FeedForward = Literal["wleff", "leff"]


@dataclass(frozen=True)
class Pruning:
    """How the decisions of one forward pass come about and what is done with them.

    Attributes:
        threshold: a window is kept when its confidence is above this; in [0, 1].
        decisions: None to let the predictors decide; else one float 0/1 map for each
            predictor, [B, H/M, W/M] in the rolled frame of its block, in network order.
        means: None, or one [B, C/2] for each predictor, in place of the map's own means.
        sample: draw decisions by Gumbel-Softmax instead of by threshold (training).
        compute_all: compute every window and multiply its residuals by the decision, as training
            does to let gradients through, instead of skipping the pruned ones.
    """

    threshold: float = 0.5
    decisions: Sequence[Tensor] | None = None
    means: Sequence[Tensor] | None = None
    sample: bool = False
    compute_all: bool = False


class StageOutput(NamedTuple):
    """What one AdaWPT returns."""

    x: Tensor  # [B, H, W, C]
    scores: list[Tensor]  # one [B, H, W, 2] for each predictor
    keep: list[Tensor]  # one [B, H/M, W/M] for each predictor, rolled frame
    means: list[Tensor]  # one [B, C/2] for each predictor, see ConfidencePredictor


class WindowBlock(nn.Module):
    """Norm, (modulator,) W-MSA, norm, feed-forward, on the windows of one partition.

    Args:
        dim: channels.
        num_heads: attention heads.
        window_size: M.
        shift: 0, or M / 2 for a shifted partition.
        mlp_ratio: hidden channels of the feed-forward layer over ``dim``.
        feed_forward: "wleff" inside windows, or "leff" over the whole map.
        modulator: learn an offset for every place of a window, added before attention.
        drop_path: probability to leave a residual out while training.
    """

    seams: Tensor

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: int,
        *,
        shift: int = 0,
        mlp_ratio: int = 4,
        feed_forward: FeedForward = "wleff",
        modulator: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.shift = shift
        self.drop_path = drop_path
        self.is_windowed = feed_forward == "wleff"
        # As large as the normed tokens it is added to: it tells them their places in the window.
        self.modulator = nn.Parameter(torch.randn(window_size**2, dim)) if modulator else None
        self.norm1 = LayerNorm(dim)
        self.attention = WindowAttention(dim, num_heads, window_size)
        self.norm2 = LayerNorm(dim)
        self.feed_forward = LocallyEnhancedFeedForward(dim, mlp_ratio)
        self._fast: Remembered[FastBlock] = Remembered()
        if shift:
            self.register_buffer("seams", seam_masks(window_size, shift), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, and have the fast form made anew."""
        self._fast.forget()
        return super().train(mode)

    def grid(self, x: Tensor) -> WindowGrid:
        """The partition of a map [B, H, W, C] by this block."""
        return WindowGrid(x.shape[1], x.shape[2], self.window_size, self.shift)

    def run_masked(self, x: Tensor, keep: Tensor) -> Tensor:
        """Compute every window, multiply its residuals by the decision (LMD-ViT eq. 4 and 5).

        Args:
            x: [B, H, W, C].
            keep: [B, H/M, W/M] 0/1 in this block's frame; gradients flow through it.
        """
        grid = self.grid(x)
        numbers = torch.arange(x.shape[0] * grid.windows, device=x.device)
        windows = partition_windows(x, self.window_size, self.shift)
        windows = self._transform(windows, grid, numbers, keep.to(x.dtype).reshape(-1, 1, 1))
        return self._feed_whole(merge_windows(windows, grid.height, grid.width, self.shift), keep)

    def run_kept(self, x: Tensor, keep: Tensor) -> Tensor:
        """Gather the kept windows, compute them, put them back among the others (LMD-ViT eq. 6).

        Same arguments. In eval mode with gradients off ``x`` is overwritten, and a fast form of
        the block computes, as long as its parts are as they were built: pruned windows are neither
        read nor copied.
        """
        numbers = keep.flatten().nonzero().squeeze(1)
        if numbers.numel() == 0:
            return x
        grid = self.grid(x)
        learning = torch.is_grad_enabled() or self.training
        if learning or torch.compiler.is_compiling() or not is_foldable(self):
            windows = partition_windows(x, self.window_size, self.shift)
            padded = _round_up(numbers)
            computed = self._transform(windows.index_select(0, padded), grid, padded)
            windows = windows.index_copy(0, numbers, computed[: len(numbers)].to(x.dtype))
            x = merge_windows(windows, grid.height, grid.width, self.shift)
        else:
            x = x.contiguous()
            with torch.autocast(x.device.type, enabled=False):
                fast = self._fast.of(list(self.parameters()), x.dtype, lambda: fast_block(self, x))
                fast.run(x.reshape(-1, x.shape[-1]), grid, numbers, feed=self.is_windowed)
        return self._feed_whole(x, keep)

    def _transform(
        self, windows: Tensor, grid: WindowGrid, numbers: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """What the block does to windows [K, M * M, C]; ``weight`` [K, 1, 1] scales residuals."""
        normed = self.norm1(windows)
        if self.modulator is not None:
            normed = normed + self.modulator.to(normed.dtype)
        seams = (self.seams, grid.seam_kind(numbers)) if self.shift else ()
        attended = self.attention(normed, *seams)
        windows = windows + self._scaled(attended, grid, numbers, weight)
        if self.is_windowed:
            fed = self.feed_forward.windowed(self.norm2(windows))
            windows = windows + self._scaled(fed, grid, numbers, weight)
        return windows

    def _scaled(
        self, residual: Tensor, grid: WindowGrid, numbers: Tensor, weight: Tensor | None
    ) -> Tensor:
        """A residual times its decision, and left out for some images while training."""
        if self.training and self.drop_path:
            images = int(numbers[-1]) // grid.windows + 1
            factor = drop_path_factor(images, self.drop_path, residual)
            residual = residual * factor[numbers // grid.windows, None, None]
        return residual if weight is None else residual * weight

    def _feed_whole(self, x: Tensor, keep: Tensor) -> Tensor:
        """Global LeFF, where the block has it: it reads every token, and changes the kept ones."""
        if self.is_windowed:
            return x
        grid = self.grid(x)
        tokens = keep.to(x.dtype).reshape(-1, 1, 1).expand(-1, self.window_size**2, 1)
        weight = merge_windows(tokens, grid.height, grid.width, self.shift)
        if self.training and self.drop_path:
            weight = weight * drop_path_factor(len(x), self.drop_path, x)[:, None, None, None]
        return x + weight * self.feed_forward.whole(self.norm2(x))


def _round_up(numbers: Tensor) -> Tensor:
    """Repeat the last window until the count is one of eight in each doubling.

    The CPU's matrix library prepares a kernel for every new shape; with a count of its own in
    every block of every step, training would spend most of its time on that.
    """
    count = len(numbers)
    step = max(1, 2 ** (count.bit_length() - 4))
    return torch.cat([numbers, numbers[-1:].expand(-count % step)])


class AdaWPT(nn.Module):
    """A stage of window blocks with adaptive window pruning.

    Args:
        dim: channels.
        depth: blocks; odd ones (counted from 0) work on a shifted partition.
        num_heads: attention heads.
        window_size: M, even.
        pruned: whether the stage has predictors; without, every window is computed.
        mlp_ratio: see :class:`WindowBlock`.
        feed_forward: see :class:`WindowBlock`.
        modulator: see :class:`WindowBlock`.
        drop_path: probability for each block.

    Raises:
        ModelError: sizes that do not fit together.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        window_size: int = 8,
        *,
        pruned: bool = True,
        mlp_ratio: int = 4,
        feed_forward: FeedForward = "wleff",
        modulator: bool = False,
        drop_path: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if min(dim, depth, num_heads, mlp_ratio) < 1 or dim % num_heads:
            raise ModelError(
                "dim, depth, num_heads and mlp_ratio are positive, and heads share the channels "
                f"evenly; got {dim}, {depth}, {num_heads} and {mlp_ratio}."
            )
        if pruned and dim < 4:
            raise ModelError(f"predictors take a quarter of dim, which is 4 or more; got {dim}.")
        if window_size < 2 or window_size % 2:
            raise ModelError(f"window_size must be even and positive, got {window_size}.")
        if feed_forward not in get_args(FeedForward):
            raise ModelError(f'feed_forward is "wleff" or "leff", got {feed_forward!r}.')
        if drop_path and len(drop_path) != depth:
            raise ModelError(f"drop_path needs {depth} numbers, one a block, got {drop_path}.")
        if not all(0 <= rate < 1 for rate in drop_path):
            raise ModelError(f"drop_path lies in [0, 1), got {drop_path}.")
        self.dim = dim
        self.window_size = window_size
        blocks = [
            WindowBlock(
                dim,
                num_heads,
                window_size,
                shift=window_size // 2 if index % 2 else 0,
                mlp_ratio=mlp_ratio,
                feed_forward=feed_forward,
                modulator=modulator,
                drop_path=drop_path[index] if drop_path else 0.0,
            )
            for index in range(depth)
        ]
        predictors = [ConfidencePredictor(dim) for _ in range(min(depth, 2) if pruned else 0)]
        self.blocks = cast("list[WindowBlock]", nn.ModuleList(blocks))
        self.predictors = cast("list[ConfidencePredictor]", nn.ModuleList(predictors))

    def shift_of(self, predictor: int) -> int:
        """Shift of the partition on which predictor 0 or 1 decides."""
        return self.blocks[predictor].shift

    def forward(self, x: Tensor, pruning: Pruning, *, overwrite: bool = False) -> StageOutput:
        """Run the stage.

        Args:
            x: [B, H, W, C], H and W multiples of M.
            pruning: its ``decisions`` and ``means``, where given, begin with this stage's own.
            overwrite: with gradients off, compute in ``x`` itself instead of a copy of it.

        Raises:
            InputError: a map, decisions or means of another shape or type.
        """
        self._check(x, pruning)
        if not (overwrite or torch.is_grad_enabled()):
            x = x.clone()
        scores: list[Tensor] = []
        keep: list[Tensor] = []
        means: list[Tensor] = []
        everything = x.new_ones(
            x.shape[0], x.shape[1] // self.window_size, x.shape[2] // self.window_size
        )
        for index, block in enumerate(self.blocks):
            if index < len(self.predictors):
                given = None if pruning.means is None else pruning.means[index]
                score, mean = self.predictors[index](x, given)
                scores.append(score)
                means.append(mean)
                keep.append(self._decision(score, index, pruning))
            decision = keep[index % 2] if self.predictors else everything
            x = (
                block.run_masked(x, decision)
                if pruning.compute_all
                else block.run_kept(x, decision)
            )
        return StageOutput(x, scores, keep, means)

    def _check(self, x: Tensor, pruning: Pruning) -> None:
        """Refuse what the compiled kernels, which trust their sizes, would read or write beyond."""
        m = self.window_size
        fits = x.ndim == 4 and min(x.shape) > 0 and x.shape[-1] == self.dim
        if not (fits and x.is_floating_point() and x.shape[1] % m == x.shape[2] % m == 0):
            raise InputError(
                f"This stage takes a map of floats (B, H, W, {self.dim}) with H and W multiples of "
                f"{m}, got {x.dtype} of shape {tuple(x.shape)}."
            )
        b, h, w, _ = x.shape
        wanted = {"decisions": (b, h // m, w // m), "means": (b, self.dim // 2)}
        for name, shape in wanted.items():
            given = getattr(pruning, name)
            own = None if given is None else given[: len(self.predictors)]
            shapes = [shape] * len(self.predictors)
            if own is not None and [tuple(one.shape) for one in own] != shapes:
                raise InputError(
                    f"The {name} begin with one of shape {shape} for each of this stage's "
                    f"{len(shapes)} predictors, got shapes {[tuple(one.shape) for one in own]}."
                )

    def _decision(self, scores: Tensor, index: int, pruning: Pruning) -> Tensor:
        if pruning.decisions is not None:
            return pruning.decisions[index]
        means = window_scores(scores, self.window_size, self.shift_of(index))
        return sample_decision(means) if pruning.sample else decide(means, pruning.threshold)

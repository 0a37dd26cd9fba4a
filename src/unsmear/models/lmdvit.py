"""LMD-ViT: local motion deblurring with adaptive window pruning (ICLR 2024).

Reads downwards: configuration, network. Where the paper and the authors' released model differ,
the released model is followed (its checkpoints load): the input projection has no norm, and the
output projection predicts a gate beside the residual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.errors import InputError, ModelError
from unsmear.layers import AdaWPT, FeedForward, Pruning, WindowBlock, partition_windows
from unsmear.layers.upsampling import JoinedUpsampling
from unsmear.models.network import DeblurringNetwork
from unsmear.models.outputs import Restored
from unsmear.models.padding import pad_to_multiple

STAGES = 9
LOWEST_GATE = 0.1

Decisions = Literal["all", "none"] | Tensor | Sequence[Tensor]


@dataclass(frozen=True)
class LMDViTConfig:
    """Sizes of the network; the defaults are the released model's.

    Attributes:
        embed_dim: C, channels after the input projection; encoder stages have C, 2C, 4C, 8C, the
            bottleneck 16C, decoder stages 16C, 8C, 4C, 2C.
        depths: blocks of stages 1 to 9 (encoder, bottleneck, decoder).
        num_heads: attention heads of stages 1 to 9.
        window_size: M, side of a window in tokens; even.
        pruned_stages: numbers of the stages with predictors; the paper compares 1-9, 2-8, 3-7,
            4-6 and none.
        mlp_ratio: hidden over outer channels of the feed-forward layers.
        feed_forward: "wleff" (inside windows) or "leff" (over the whole map).
        drop_path: stochastic depth, rising linearly from 0 over the encoder, constant in the
            bottleneck, falling to 0 over the decoder.
    """

    embed_dim: int = 32
    depths: tuple[int, ...] = (1, 2, 8, 8, 2, 8, 8, 2, 1)
    num_heads: tuple[int, ...] = (1, 2, 4, 8, 16, 16, 8, 4, 2)
    window_size: int = 8
    pruned_stages: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9)
    mlp_ratio: int = 4
    feed_forward: FeedForward = "wleff"
    drop_path: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in ("depths", "num_heads", "pruned_stages"):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        if len(self.depths) != STAGES or len(self.num_heads) != STAGES:
            raise ModelError(
                f"depths and num_heads need {STAGES} numbers each (4 encoder stages, bottleneck, "
                f"4 decoder stages), got {len(self.depths)} and {len(self.num_heads)}."
            )
        if min(self.depths) < 1:
            raise ModelError(f"every stage needs at least one block, got depths {self.depths}.")
        if self.embed_dim < 4 or self.embed_dim % 4:
            raise ModelError(f"embed_dim must be a multiple of 4, got {self.embed_dim}.")
        for dim, heads in zip(self.dims, self.num_heads, strict=True):
            if heads < 1 or dim % heads:
                raise ModelError(f"{dim} channels do not divide into {heads} heads.")
        if self.window_size < 2 or self.window_size % 2:
            raise ModelError(f"window_size must be even and positive, got {self.window_size}.")
        if not set(self.pruned_stages) <= set(range(1, STAGES + 1)):
            raise ModelError(f"pruned_stages are numbers from 1 to 9, got {self.pruned_stages}.")
        if self.feed_forward not in ("wleff", "leff"):
            raise ModelError(f'feed_forward is "wleff" or "leff", got {self.feed_forward!r}.')
        if self.mlp_ratio < 1:
            raise ModelError(f"mlp_ratio must be positive, got {self.mlp_ratio}.")
        if not 0.0 <= self.drop_path < 1.0:
            raise ModelError(f"drop_path lies in [0, 1), got {self.drop_path}.")

    @property
    def dims(self) -> tuple[int, ...]:
        """Channels of stages 1 to 9."""
        return tuple(self.embed_dim * factor for factor in (1, 2, 4, 8, 16, 16, 8, 4, 2))

    @property
    def drop_paths(self) -> tuple[tuple[float, ...], ...]:
        """Drop probability of every block of every stage."""

        def rise(blocks: int) -> list[float]:
            return [self.drop_path * index / max(1, blocks - 1) for index in range(blocks)]

        encoder, decoder = rise(sum(self.depths[:4])), rise(sum(self.depths[5:]))[::-1]
        rates = iter([*encoder, *[self.drop_path] * self.depths[4], *decoder])
        return tuple(tuple(next(rates) for _ in range(depth)) for depth in self.depths)


class LMDViT(DeblurringNetwork):
    """The network. In eval mode pruned windows are skipped; in train mode decisions are sampled.

    Args:
        config: sizes; see :class:`LMDViTConfig`.
    """

    def __init__(self, config: LMDViTConfig | None = None) -> None:
        super().__init__()
        self.config = config or LMDViTConfig()
        dims, c = self.config.dims, self.config.embed_dim
        self.input_proj = nn.Conv2d(3, c, 3, padding=1)
        stages = [self._stage(index) for index in range(STAGES)]
        self.encoder = cast("list[AdaWPT]", nn.ModuleList(stages[:4]))
        self.bottleneck = stages[4]
        self.decoder = cast("list[AdaWPT]", nn.ModuleList(stages[5:]))
        self.shrink = nn.ModuleList(
            nn.Conv2d(dim, wider, 4, stride=2, padding=1) for dim, wider in pairwise(dims[:5])
        )
        self.grow = nn.ModuleList(
            JoinedUpsampling(below, dim // 2) for below, dim in pairwise(dims[4:])
        )
        self.output_proj = nn.Conv2d(dims[-1], 4, 3, padding=1)
        self.apply(_initialise)

    def _stage(self, index: int) -> AdaWPT:
        config = self.config
        return AdaWPT(
            config.dims[index],
            config.depths[index],
            config.num_heads[index],
            config.window_size,
            pruned=index + 1 in config.pruned_stages,
            mlp_ratio=config.mlp_ratio,
            feed_forward=config.feed_forward,
            modulator=index > 4,
            drop_path=config.drop_paths[index],
        )

    @property
    def size_step(self) -> int:
        """Sides are padded to multiples of this many pixels: one window of the bottleneck."""
        return self.config.window_size * 16

    @property
    def surroundings(self) -> int:
        """Two windows of the bottleneck; beyond them the network hardly looks."""
        return 2 * self.size_step

    @property
    def features_per_pixel(self) -> int:
        """At the last stage: the maps that are joined, or the joined one and its predictor's."""
        return 4 * self.config.embed_dim

    @property
    def stages(self) -> list[AdaWPT]:
        """Stages 1 to 9."""
        return [*self.encoder, self.bottleneck, *self.decoder]

    @property
    def milestones(self) -> list[AdaWPT]:
        """Stages 1 to 9."""
        return self.stages

    @staticmethod
    def scale_of(stage: int) -> int:
        """Pixels of the picture in one token of a stage, a side: 1 2 4 8 16 8 4 2 1."""
        return 2 ** (stage - 1) if stage <= 5 else 2 ** (STAGES - stage)

    @property
    def predictor_places(self) -> tuple[tuple[int, int], ...]:
        """Of each predictor, in network order: its stage (1 to 9) and the shift of its windows."""
        return tuple(
            (number, stage.shift_of(index))
            for number, stage in enumerate(self.stages, start=1)
            for index in range(len(stage.predictors))
        )

    def forward(
        self,
        blurred: Tensor,
        *,
        threshold: float = 0.5,
        decisions: Decisions | None = None,
        means: Sequence[Tensor] | None = None,
        compute_all: bool | None = None,
    ) -> Restored:
        """Restore a batch.

        Args:
            blurred: [B, 3, H, W] float RGB in [0, 1], any H and W from 1.
            threshold: a window is kept when its blur confidence is above this; in [0, 1].
            decisions: None: the predictors decide, for each image by itself. "all" or "none":
                keep every or no window. A blur mask [B, 1, H, W]: keep the windows it touches
                (above 0). A sequence of maps like ``Restored.keep``: those decisions.
            means: like ``Restored.means``, of the picture that this one is a part of.
            compute_all: compute pruned windows too and multiply their residuals by the decision
                (the training form). Default: only in train mode with decisions of the predictors.

        Raises:
            InputError: a tensor, decisions or means of another shape or type, or a threshold
                outside [0, 1].
        """
        _check(blurred, threshold)
        padded = pad_to_multiple(blurred, self.size_step)
        sample = self.training and decisions is None
        maps = None if decisions is None else self._decision_maps(decisions, blurred, padded)
        everything = sample if compute_all is None else compute_all
        run = _Run(Pruning(threshold, maps, means, sample, everything))
        features = self._features(padded, run)

        out = self.output_proj(features.permute(0, 3, 1, 2)).float()
        gate = out[:, 3:].sigmoid().clamp(min=LOWEST_GATE)
        h, w = blurred.shape[-2:]
        restored = padded + out[:, :3] * gate.to(padded.dtype)
        return Restored(
            restored[..., :h, :w],
            gate[..., :h, :w],
            tuple(run.scores),
            tuple(decision[:, None] for decision in run.keep),
            self._blur_map(run.scores, padded)[..., :h, :w],
            tuple(run.means),
        )

    def _features(self, padded: Tensor, run: _Run) -> Tensor:
        """Everything between the two projections: [B, 3, H, W] -> [B, H, W, 2C]."""
        image = padded.to(self.input_proj.weight.dtype, memory_format=torch.channels_last)
        x = self.input_proj(image).permute(0, 2, 3, 1)  # [B, H, W, C]
        x = F.leaky_relu(x, 0.01, inplace=not torch.is_grad_enabled())
        skips = []
        for stage, shrink in zip(self.encoder, self.shrink, strict=True):
            x = run(stage, x)
            skips.append(x)
            x = _convolve(shrink, x)
        x = run(self.bottleneck, x)
        for stage, grow in zip(self.decoder, self.grow, strict=True):
            x = grow(x, skips.pop())  # the smaller map is freed before the stage runs
            x = run(stage, x)
        return x

    def _decision_maps(self, decisions: Decisions, blurred: Tensor, padded: Tensor) -> list[Tensor]:
        """Bring any form of decisions to one float map [B, H/M, W/M] a predictor."""
        b, _, h, w = padded.shape
        m = self.config.window_size
        sides = [self.scale_of(stage) * m for stage, _ in self.predictor_places]
        if isinstance(decisions, str):
            if decisions not in ("all", "none"):
                raise InputError(f'decisions are "all", "none", a mask or maps, got {decisions!r}.')
            return [padded.new_full((b, h // s, w // s), float(decisions == "all")) for s in sides]
        if isinstance(decisions, Tensor):
            if decisions.shape != (b, 1, *blurred.shape[-2:]):
                raise InputError(
                    f"The blur mask has shape {tuple(decisions.shape)}, the picture needs "
                    f"{(b, 1, *blurred.shape[-2:])}; resize the mask to the picture."
                )
            mask = F.pad(
                (decisions > 0).to(padded), (0, w - blurred.shape[-1], 0, h - blurred.shape[-2])
            )
            return [
                self._touched_windows(mask, self.scale_of(stage), shift)
                for stage, shift in self.predictor_places
            ]
        wanted = [(b, h // s, w // s) for s in sides]
        maps = [decision.reshape(-1, *decision.shape[-2:]) for decision in decisions]
        if [tuple(one.shape) for one in maps] != wanted:
            raise InputError(
                f"The decisions have shapes {[tuple(one.shape) for one in maps]}, this network "
                f"needs {wanted}, one a predictor."
            )
        return maps

    def _touched_windows(self, mask: Tensor, scale: int, shift: int) -> Tensor:
        """Windows of a stage that a padded mask [B, 1, H, W] touches: [B, h/M, w/M]."""
        tokens = F.max_pool2d(mask, scale).permute(0, 2, 3, 1)  # [B, h, w, 1]
        m = self.config.window_size
        windows = partition_windows(tokens, m, shift).amax(dim=(1, 2))
        return windows.reshape(mask.shape[0], tokens.shape[1] // m, tokens.shape[2] // m)

    def _blur_map(self, scores: list[Tensor], padded: Tensor) -> Tensor:
        """Mean confidence of the last pruned stage's predictors, in full resolution."""
        b, _, h, w = padded.shape
        if not scores:
            return padded.new_ones(b, 1, h, w)
        last = self.predictor_places[-1][0]
        own = [
            s for s, (stage, _) in zip(scores, self.predictor_places, strict=True) if stage == last
        ]
        # A softmax of two, which is slow over so short rows.
        confidence = torch.stack([(s[..., 0] - s[..., 1]).sigmoid() for s in own]).mean(dim=0)
        if confidence.shape[1:] == (h, w):
            return confidence[:, None].to(padded.dtype)
        up = F.interpolate(confidence[:, None], size=(h, w), mode="bilinear")
        return up.to(padded.dtype)


class _Run:
    """One forward pass: hands each stage its share of the pruning and collects what it decided."""

    def __init__(self, pruning: Pruning) -> None:
        self.pruning = pruning
        self.scores: list[Tensor] = []
        self.keep: list[Tensor] = []
        self.means: list[Tensor] = []

    def __call__(self, stage: nn.Module, x: Tensor) -> Tensor:
        own = slice(len(self.keep), None)
        decisions, means = self.pruning.decisions, self.pruning.means
        out = stage(
            x,
            replace(
                self.pruning,
                decisions=None if decisions is None else decisions[own],
                means=None if means is None else means[own],
            ),
            overwrite=True,
        )
        self.scores.extend(out.scores)
        self.keep.extend(out.keep)
        self.means.extend(out.means)
        return out.x


def _convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution to [B, H, W, C]; the permuted view is torch's channels-last layout."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _check(blurred: Tensor, threshold: float) -> None:
    if blurred.ndim != 4 or blurred.shape[1] != 3 or min(blurred.shape) < 1:
        raise InputError(
            f"A batch of RGB pictures has shape (B, 3, H, W), got {tuple(blurred.shape)}."
        )
    if not blurred.is_floating_point():
        raise InputError(f"Pictures are floats in [0, 1], got {blurred.dtype}; divide by 255.")
    if not 0.0 <= threshold <= 1.0:
        raise InputError(f"The threshold lies in [0, 1], got {threshold}.")


def _initialise(module: nn.Module) -> None:
    """Begin with blocks that hardly change their input: it trains several times faster.

    Predictors keep torch's larger weights: their inputs are small already, and a normalisation
    of next to nothing would give them nothing to learn from.
    """
    if isinstance(module, WindowBlock):
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

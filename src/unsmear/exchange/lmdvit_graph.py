"""LMD-ViT in ONNX's operations, with the weights of its fast forms.

Follows :mod:`unsmear.models.lmdvit` and :mod:`unsmear.layers.adawpt` with their shapes: B pictures,
H x W tokens, C channels, windows of T = M * M tokens, N windows a picture, K kept ones.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from onnx import TensorProto
from torch import Tensor, nn

from unsmear.exchange.graph import Value
from unsmear.layers import AdaWPT, WindowBlock
from unsmear.layers.confidence import ConfidencePredictor
from unsmear.layers.folded import FoldedBlock, fold_block
from unsmear.models.lmdvit import LOWEST_GATE, LMDViT


class Drawn(NamedTuple):
    """What the graph makes of a padded picture, as in :class:`unsmear.models.Restored`."""

    restored: Value
    gate: Value
    blur_map: Value
    keep: tuple[Value, ...]


@torch.no_grad()
def draw_lmdvit(network: LMDViT, padded: Value, threshold: Value | None, pruned: bool) -> Drawn:
    """Draw the network into a graph.

    Args:
        network: with its weights; they become float32.
        padded: [B, 3, H, W], H and W multiples of the network's ``size_step``.
        threshold: a number; None where the network has no predictors.
        pruned: compute only the windows that are kept; otherwise all of them, of which the
            pruned ones are dropped.
    """
    return _Drawing(network, padded, threshold, pruned).run()


class _Partition:
    """The (shifted) windows of maps of one size.

    Args:
        sizes: B, H and W, each int64 [1].
        side: M.
        shift: 0 or M / 2.
    """

    def __init__(self, sizes: tuple[Value, Value, Value], side: int, shift: int) -> None:
        self.sizes, self.side, self.shift = sizes, side, shift
        self.batch, height, width = sizes
        self.rows, self.columns = height // side, width // side

    def cut(self, x: Value, channels: int) -> Value:
        """[B, H, W, C] -> [B * N, T, C]."""
        m = self.side
        x = x.roll(-self.shift, (1, 2)).reshape(0, self.rows, m, self.columns, m, channels)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, m * m, channels)

    def merge(self, windows: Value, channels: int) -> Value:
        """[B * N, T, C] -> [B, H, W, C]."""
        m = self.side
        x = windows.reshape(self.batch, self.rows, self.columns, m, m, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(*self.sizes, channels)
        return x.roll(self.shift, (1, 2))

    @cached_property
    def places(self) -> Value:
        """Where the tokens of every window lie in flat [B * H * W]: int64 [B * N, T]."""
        batch, height, width = self.sizes
        numbers = batch.graph.count(batch * height * width)
        return self.cut(numbers.reshape(*self.sizes, 1), 1).reshape(0, -1)

    @cached_property
    def kinds(self) -> Value:
        """The seams of every window, as in ``WindowGrid.seam_kind``: int64 [B * N]."""
        g = self.batch.graph
        last_row, last_column = (
            g.op("Cast", g.op("Equal", g.count(all_), all_ - 1), to=TensorProto.INT64)
            for all_ in (self.rows, self.columns)
        )
        kinds = (last_row * 2).unsqueeze(1) + last_column
        kinds = g.op("Expand", kinds, g.join(self.batch, self.rows, self.columns))
        return kinds.reshape(-1)


class _Drawing:
    """The graph while it is drawn, stage by stage."""

    def __init__(
        self, network: LMDViT, padded: Value, threshold: Value | None, pruned: bool
    ) -> None:
        self.network, self.padded = network, padded
        self.threshold, self.pruned = threshold, pruned
        self.graph = padded.graph
        self.confidence: list[tuple[int, Value]] = []  # stage, [B, H, W]
        self.keep: list[Value] = []  # bool [B, H/M, W/M]
        self._partitions: dict[tuple[int, int], _Partition] = {}

    def run(self) -> Drawn:
        network = self.network
        x = _rows(_convolved(self.padded, network.input_proj))
        x = self.graph.op("LeakyRelu", x, alpha=0.01)
        skips = []
        for number, (stage, shrink) in enumerate(
            zip(network.encoder, network.shrink, strict=True), start=1
        ):
            x = self._stage(x, number, stage)
            skips.append(x)
            x = _rows(_convolved(_planes(x), shrink))
        x = self._stage(x, 5, network.bottleneck)
        for number, (stage, grow) in enumerate(
            zip(network.decoder, network.grow, strict=True), start=6
        ):
            grown = _rows(_convolved(_planes(x), grow))
            x = self._stage(self.graph.op("Concat", grown, skips.pop(), axis=-1), number, stage)
        out = _convolved(_planes(x), network.output_proj)
        gate = self.graph.op("Sigmoid", out.cut([3], [4], 1))
        gate = self.graph.op("Max", gate, LOWEST_GATE)
        restored = self.padded + out.cut([0], [3], 1) * gate
        keep = (self.graph.op("Cast", one, to=TensorProto.FLOAT) for one in self.keep)
        return Drawn(restored, gate, self._blur_map(), tuple(one.unsqueeze(1) for one in keep))

    def _partition(self, scale: int, shift: int) -> _Partition:
        """The windows of one scale and shift; both stages of a scale share them."""
        if (scale, shift) not in self._partitions:
            sizes = self.padded.size(0), self.padded.size(2) // scale, self.padded.size(3) // scale
            side = self.network.config.window_size
            self._partitions[scale, shift] = _Partition(sizes, side, shift)
        return self._partitions[scale, shift]

    def _stage(self, x: Value, number: int, stage: AdaWPT) -> Value:
        """Like :meth:`AdaWPT.forward` without gradients: [B, H, W, C] -> the same."""
        keep: list[Value] = []
        for index, block in enumerate(stage.blocks):
            partition = self._partition(LMDViT.scale_of(number), block.shift)
            if index < len(stage.predictors):
                logits = _judged(x, stage.predictors[index])
                self.confidence.append((number, self.graph.op("Sigmoid", logits)))
                keep.append(self._decided(logits, partition))
            x = self._block(x, block, partition, keep[index % 2] if keep else None)
        self.keep.extend(keep)
        return x

    def _decided(self, logits: Value, partition: _Partition) -> Value:
        """Keep a window whose confidence is above the threshold: [B, H, W] -> [B, H/M, W/M]."""
        means = partition.cut(logits.unsqueeze(3), 1).mean(1, 2)
        confidence = self.graph.op("Sigmoid", means)
        assert self.threshold is not None, "a network with predictors gets a threshold"
        keep = self.graph.op("Greater", confidence, self.threshold)
        return keep.reshape(partition.batch, partition.rows, partition.columns)

    def _block(
        self, x: Value, block: WindowBlock, partition: _Partition, keep: Value | None
    ) -> Value:
        """Like :meth:`WindowBlock.run_kept`, or on every window: [B, H, W, C] -> the same."""
        g, folded = self.graph, fold_block(block, torch.float32)
        channels = len(folded.proj_bias)
        if keep is not None and self.pruned:
            kept = g.op("Squeeze", g.op("NonZero", keep.reshape(-1)), [0])
            # One window more, whose result is dropped: runtimes fail on products of no rows.
            numbers = g.op("Concat", kept, [0], axis=0)
            places = partition.places.take(numbers)
            flat = x.reshape(-1, channels)
            kinds = partition.kinds.take(numbers) if block.shift else None
            windows = self._transformed(flat.take(places), kinds, folded, block)
            places, windows = (one.cut([0], [-1], 0) for one in (places, windows))
            flat = g.op("ScatterND", flat, places.unsqueeze(2), windows)
            x = flat.reshape(*partition.sizes, channels)
        else:
            before = partition.cut(x, channels)
            kinds = partition.kinds if block.shift else None
            windows = self._transformed(before, kinds, folded, block)
            if keep is not None:
                windows = g.op("Where", keep.reshape(-1, 1, 1), windows, before)
            x = partition.merge(windows, channels)
        return x if block.is_windowed else self._fed_whole(x, folded, partition, keep)

    def _transformed(
        self, windows: Value, kinds: Value | None, folded: FoldedBlock, block: WindowBlock
    ) -> Value:
        """The formula of :class:`FoldedBlock` on windows [K, T, C], K from 0."""
        g, heads, channels = self.graph, folded.heads, len(folded.proj_bias)
        tokens = block.window_size**2
        qkv = _normed(windows, folded) @ folded.qkv_weight.T + folded.qkv_bias
        qkv = qkv.reshape(0, tokens, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
        queries, keys, values = (qkv.take(number) for number in range(3))  # [K, heads, T, C/heads]
        table = folded.logit_bias
        bias = table[0] if kinds is None else g.op("Gather", table, kinds)
        logits = queries @ keys.permute(0, 1, 3, 2) + bias
        mixed = g.op("Softmax", logits, axis=-1) @ values
        mixed = mixed.permute(0, 2, 1, 3).reshape(0, tokens, channels)
        windows = windows + (mixed @ folded.proj_weight.T + folded.proj_bias)
        if not block.is_windowed:
            return windows
        side, hidden_channels = block.window_size, len(folded.expand_bias)
        hidden = _expanded(windows, folded).permute(0, 2, 1)
        hidden = hidden.reshape(0, hidden_channels, side, side)
        hidden = g.op("Pad", hidden, [0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")
        filtered = self._filtered(hidden, folded, 0).reshape(0, hidden_channels, tokens)
        return windows + _reduced(filtered.permute(0, 2, 1), folded)

    def _fed_whole(
        self, x: Value, folded: FoldedBlock, partition: _Partition, keep: Value | None
    ) -> Value:
        """Global LeFF, of which kept windows alone take the result: [B, H, W, C] -> the same."""
        hidden = _planes(_expanded(x, folded))
        fed = x + _reduced(_rows(self._filtered(hidden, folded, 1)), folded)
        if keep is None:
            return fed
        tokens = self.graph.op("Expand", keep.reshape(-1, 1, 1), [1, partition.side**2, 1])
        return self.graph.op("Where", partition.merge(tokens, 1), fed, x)

    def _filtered(self, hidden: Value, folded: FoldedBlock, border: int) -> Value:
        """Depthwise 3x3 and GELU on [K, rC, h, w], with ``border`` zeros around."""
        taps = folded.taps.permute(2, 0, 1)[:, None]
        return self.graph.op(
            "Conv", hidden, taps, folded.taps_bias, group=len(taps), pads=[border] * 4
        ).gelu()

    def _blur_map(self) -> Value:
        """Mean confidence of the last pruned stage's predictors, in full resolution."""
        if not self.confidence:
            plane = self.padded.cut([0], [1], 1)
            return plane * 0.0 + 1.0
        last = self.confidence[-1][0]
        own = [confidence for stage, confidence in self.confidence if stage == last]
        mean = self.graph.op("Mean", *own).unsqueeze(1)
        scale = float(LMDViT.scale_of(last))
        return self.graph.op(
            "Resize", mean, None, torch.tensor([1.0, 1.0, scale, scale]), mode="linear"
        )


def _judged(x: Value, predictor: ConfidencePredictor) -> Value:
    """Keep score less prune score of every token: [B, H, W, C] -> [B, H, W].

    As in ``PredictorInPieces``, the embedding's last layer goes into the judge's first one.
    """
    first, _, norm, last = cast("tuple[Any, ...]", tuple(predictor.embed))
    judge, _, second, _, third = cast("tuple[Any, ...]", tuple(predictor.judge))
    half = judge.in_features // 2
    features = _linear(x, first.weight, first.bias).gelu().normed(norm.weight, norm.bias, norm.eps)
    to_judge, from_mean = judge.weight.split(half, dim=1)
    local, shared = slice(half), slice(half, None)
    # Row by row: one sum of float32 over a whole photo would lose three digits, and OpenVINO makes
    # one of two means in succession.
    rows = features.reshape(x.size(0) * x.size(1), x.size(2), last.in_features).mean(1)
    mean = rows.reshape(x.size(0), x.size(1), last.in_features).mean(1)
    own = _linear(mean, last.weight[shared], last.bias[shared])
    seen = _linear(own, from_mean, judge.bias + to_judge @ last.bias[local])
    hidden = features @ (to_judge @ last.weight[local]).T + seen.unsqueeze(1, 2)
    hidden = _linear(hidden.gelu(), second.weight, second.bias).gelu()
    scores = _linear(hidden, third.weight[:1] - third.weight[1:], third.bias[:1] - third.bias[1:])
    return scores.graph.op("Squeeze", scores, [3])


def _linear(x: Value, weight: Tensor, bias: Tensor) -> Value:
    return x @ weight.T + bias


def _normed(x: Value, folded: FoldedBlock) -> Value:
    """The normalisation without weights; ONNX's wants some."""
    return x.normed(torch.ones_like(folded.proj_bias), None, folded.eps)


def _expanded(x: Value, folded: FoldedBlock) -> Value:
    return _linear(_normed(x, folded), folded.expand_weight, folded.expand_bias).gelu()


def _reduced(hidden: Value, folded: FoldedBlock) -> Value:
    return _linear(hidden, folded.reduce_weight, folded.reduce_bias)


def _planes(x: Value) -> Value:
    """[B, H, W, C] -> [B, C, H, W]."""
    return x.permute(0, 3, 1, 2)


def _rows(x: Value) -> Value:
    """[B, C, H, W] -> [B, H, W, C]."""
    return x.permute(0, 2, 3, 1)


def _convolved(x: Value, layer: nn.Module) -> Value:
    """A convolution, or a transposed one, of the network: [B, C, H, W] -> [B, C', H', W']."""
    conv = cast("nn.Conv2d", layer)
    kind = "ConvTranspose" if isinstance(layer, nn.ConvTranspose2d) else "Conv"
    assert conv.bias is not None, "every convolution of the network has a bias"
    top, left = cast("tuple[int, int]", conv.padding)
    return x.graph.op(
        kind, x, conv.weight, conv.bias, strides=conv.stride, pads=[top, left, top, left]
    )

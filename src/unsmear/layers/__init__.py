"""Layers any U-shaped network can use; they know tensors, never a model."""

from unsmear.layers.adawpt import AdaWPT, FeedForward, Pruning, StageOutput, WindowBlock
from unsmear.layers.attention import WindowAttention
from unsmear.layers.confidence import ConfidencePredictor, decide, sample_decision, window_scores
from unsmear.layers.feed_forward import LocallyEnhancedFeedForward
from unsmear.layers.windows import WindowGrid, merge_windows, partition_windows

__all__ = [
    "AdaWPT",
    "ConfidencePredictor",
    "FeedForward",
    "LocallyEnhancedFeedForward",
    "Pruning",
    "StageOutput",
    "WindowAttention",
    "WindowBlock",
    "WindowGrid",
    "decide",
    "merge_windows",
    "partition_windows",
    "sample_decision",
    "window_scores",
]

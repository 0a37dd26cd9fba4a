"""Compiled for the CPU: the fast form of window blocks and confidence predictors on x86-64.

While training, the middle of window blocks is compiled too.

The kernels are built with the package where a C++ compiler is there, once for each level of the
instruction set; the best level that was built and that the machine has computes. Everywhere else
the plain forms do.
"""

from unsmear.native.levels import LEVELS, available, usable_levels
from unsmear.native.predictor import PackedPredictor
from unsmear.native.window_attention import AttentionCore
from unsmear.native.window_block import PackedBlock
from unsmear.native.window_mixing import WindowMixing

__all__ = [
    "LEVELS",
    "AttentionCore",
    "PackedBlock",
    "PackedPredictor",
    "WindowMixing",
    "available",
    "usable_levels",
]

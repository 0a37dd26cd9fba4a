"""Training data: a synthesizer of local motion blur, its cache, patches and the fixed split."""

from unsmear.data.config import KINDS, SynthesisConfig
from unsmear.data.crops import crop_patch, turn_patch
from unsmear.data.library import CutOut, MediaLibrary
from unsmear.data.mixture import Part, PatchMixture, SourceConfig, build_mixture, open_parts
from unsmear.data.pair_mask import PairMaskConfig, pair_blur_mask
from unsmear.data.pool import SamplePool
from unsmear.data.sources import Pair, PairSource, open_source
from unsmear.data.split import (
    ValidationSamples,
    ValidationSplit,
    training_library,
    validation_library,
    validation_samples,
)
from unsmear.data.synthesis import BlurSynthesizer, fitted
from unsmear.data.triple import BlurTriple

__all__ = [
    "KINDS",
    "BlurSynthesizer",
    "BlurTriple",
    "CutOut",
    "MediaLibrary",
    "Pair",
    "PairMaskConfig",
    "PairSource",
    "Part",
    "PatchMixture",
    "SamplePool",
    "SourceConfig",
    "SynthesisConfig",
    "ValidationSamples",
    "ValidationSplit",
    "build_mixture",
    "crop_patch",
    "fitted",
    "open_parts",
    "open_source",
    "pair_blur_mask",
    "training_library",
    "turn_patch",
    "validation_library",
    "validation_samples",
]

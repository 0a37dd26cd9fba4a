"""Training: the one room that knows Lightning."""

from unsmear.training.config import OptimizerConfig, Phase, PoolConfig, ValidationConfig
from unsmear.training.losses import LossConfig

__all__ = ["LossConfig", "OptimizerConfig", "Phase", "PoolConfig", "ValidationConfig"]

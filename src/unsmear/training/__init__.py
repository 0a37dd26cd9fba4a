"""Training: the one room that knows Lightning."""

from unsmear.training.config import DataConfig, Phase, TrainConfig, load_config
from unsmear.training.losses import LossConfig

__all__ = ["DataConfig", "LossConfig", "Phase", "TrainConfig", "load_config"]

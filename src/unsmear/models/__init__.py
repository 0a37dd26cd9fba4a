"""Networks, by name or from a checkpoint."""

from unsmear.models.lmdvit import LMDViT, LMDViTConfig
from unsmear.models.network import DeblurringNetwork
from unsmear.models.outputs import Restored
from unsmear.models.registry import CONFIGS, DEFAULT_MODEL, create_model
from unsmear.models.weights import bundled_weights, convert_checkpoint, load_model, save_model

__all__ = [
    "CONFIGS",
    "DEFAULT_MODEL",
    "DeblurringNetwork",
    "LMDViT",
    "LMDViTConfig",
    "Restored",
    "bundled_weights",
    "convert_checkpoint",
    "create_model",
    "load_model",
    "save_model",
]

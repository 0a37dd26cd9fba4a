"""Networks by name."""

from __future__ import annotations

import dataclasses
from typing import Any

from unsmear.errors import ModelError
from unsmear.models.lmdvit import LMDViT, LMDViTConfig

CONFIGS: dict[str, LMDViTConfig] = {
    "lmdvit": LMDViTConfig(),
    "lmdvit-small": LMDViTConfig(embed_dim=16),
    # With so few blocks, a predictor in stage 1 or 2 would see a few pixels around a token: it
    # cannot tell blurred from smooth. Both stages are an eighth of the multiply-adds.
    "lmdvit-tiny": LMDViTConfig(
        embed_dim=16, depths=(1, 2, 2, 2, 1, 1, 2, 2, 1), pruned_stages=(3, 4, 5, 6, 7, 8, 9)
    ),
}
DEFAULT_MODEL = "lmdvit-tiny"


def override(config: LMDViTConfig, overrides: dict[str, Any]) -> LMDViTConfig:
    """A configuration with some values changed.

    Raises:
        ModelError: a name that is no field of the configuration.
    """
    known = [field.name for field in dataclasses.fields(config)]
    for name in overrides:
        if name not in known:
            raise ModelError(f"LMD-ViT has no setting {name!r}; it has {', '.join(known)}.")
    return dataclasses.replace(config, **overrides)


def create_model(name: str = DEFAULT_MODEL, **overrides: Any) -> LMDViT:
    """Build a network with fresh weights, in eval mode.

    Args:
        name: one of :data:`CONFIGS`.
        **overrides: fields of :class:`LMDViTConfig` to change, such as ``pruned_stages=(4, 5, 6)``.

    Raises:
        ModelError: an unknown name or setting, or sizes that do not fit together.
    """
    if name not in CONFIGS:
        raise ModelError(f"There is no model {name!r}; there are {', '.join(CONFIGS)}.")
    return LMDViT(override(CONFIGS[name], overrides)).eval()

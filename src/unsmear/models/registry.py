"""Networks by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any, NamedTuple

from unsmear.errors import ModelError
from unsmear.models import saphn
from unsmear.models.dmphn import DMPHN, DMPHNConfig
from unsmear.models.lbag import LBAG, LBAGConfig
from unsmear.models.lmdvit import LMDViT, LMDViTConfig
from unsmear.models.network import DeblurringNetwork
from unsmear.models.saphn import SAPHN, SAPHNConfig
from unsmear.models.srn import SRN, SRNConfig


class Family(NamedTuple):
    """Networks of one paper."""

    title: str
    config: type[Any]
    network: type[DeblurringNetwork]


FAMILIES: dict[str, Family] = {
    "lmdvit": Family("LMD-ViT", LMDViTConfig, LMDViT),
    "saphn": Family("SAPHN", SAPHNConfig, SAPHN),
    "dmphn": Family("DMPHN", DMPHNConfig, DMPHN),
    "srn": Family("SRN", SRNConfig, SRN),
    "lbag": Family("LBAG", LBAGConfig, LBAG),
}

CONFIGS: dict[str, Any] = {
    "lmdvit": LMDViTConfig(),
    "lmdvit-small": LMDViTConfig(embed_dim=16),
    # With so few blocks, a predictor in stage 1 or 2 would see a few pixels around a token: it
    # cannot tell blurred from smooth. Both stages are an eighth of the multiply-adds.
    "lmdvit-tiny": LMDViTConfig(
        embed_dim=16, depths=(1, 2, 2, 2, 1, 1, 2, 2, 1), pruned_stages=(3, 4, 5, 6, 7, 8, 9)
    ),
    **saphn.CONFIGS,
    "dmphn": DMPHNConfig(),
    "dmphn-nu": DMPHNConfig(sampling=True),
    "srn": SRNConfig(),
    "srn-nu": SRNConfig(sampling=True),
    "lbag": LBAGConfig(),
}
DEFAULT_MODEL = "lmdvit-tiny"


def family_of(config: Any) -> str:
    """Which of :data:`FAMILIES` a configuration belongs to."""
    return next(name for name, family in FAMILIES.items() if type(config) is family.config)


def override(config: Any, overrides: dict[str, Any]) -> Any:
    """A configuration with some values changed.

    Raises:
        ModelError: a name that is no field of the configuration, or a value of another kind.
    """
    known = [field.name for field in dataclasses.fields(config)]
    title = FAMILIES[family_of(config)].title
    for name, value in overrides.items():
        if name not in known:
            raise ModelError(f"{title} has no setting {name!r}; it has {', '.join(known)}.")
        usual = getattr(config, name)
        if not _is_like(value, usual):
            raise ModelError(f"{title}'s {name} is something like {usual!r}, got {value!r}.")
    return dataclasses.replace(config, **overrides)


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value is of the kind of a usual one: switch, word, number or whole numbers."""
    if isinstance(usual, tuple):
        return isinstance(value, Collection) and all(_is_like(one, 1) for one in value)
    if isinstance(usual, (bool, str)) or isinstance(value, bool):
        return type(value) is type(usual)
    return isinstance(value, Real if isinstance(usual, float) else Integral)


def build(config: Any) -> DeblurringNetwork:
    """The network of a configuration with fresh weights, in eval mode."""
    return FAMILIES[family_of(config)].network(config).eval()


def create_model(name: str = DEFAULT_MODEL, **overrides: Any) -> DeblurringNetwork:
    """Build a network with fresh weights, in eval mode.

    Args:
        name: one of :data:`CONFIGS`.
        **overrides: fields of its configuration to change, such as ``pruned_stages=(4, 5, 6)``.

    Raises:
        ModelError: an unknown name or setting, or sizes that do not fit together.
    """
    if name not in CONFIGS:
        raise ModelError(f"There is no model {name!r}; there are {', '.join(CONFIGS)}.")
    return build(override(CONFIGS[name], overrides))

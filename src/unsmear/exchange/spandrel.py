"""Our networks for spandrel, and so for programs that load models with it, such as ComfyUI.

spandrel hands over a state dict alone, without a file's metadata: what a network is shows in its
names, and its sizes in its shapes. LMD-ViT and DMPHN are read like that. The settings of the other
networks stand in the metadata only, so that these stay out.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unsmear.errors import UnsmearError
from unsmear.models import DeblurringNetwork
from unsmear.models import dmphn_released as dmphn
from unsmear.models.registry import build
from unsmear.models.released import from_released, infer_config, is_released

try:
    import spandrel  # pyright: ignore[reportMissingImports]
except (ImportError, RuntimeError) as problem:  # torchvision, beside a torch that it does not fit
    raise UnsmearError(
        f"spandrel cannot be imported ({problem}): pip install 'unsmear[rivals]', and a "
        "torchvision that fits your torch."
    ) from None

_GATE_AND_RESIDUAL = 4  # channels of LMD-ViT's last layer


def register(registry: spandrel.ArchRegistry = spandrel.MAIN_REGISTRY) -> None:
    """Let spandrel load our LMD-ViT and DMPHN checkpoints; doing it again changes nothing.

    Args:
        registry: where to; by default that of every ``spandrel.ModelLoader()``.
    """
    registry.add(
        # Uformer, whose names the released LMD-ViT has, would claim its checkpoints.
        spandrel.ArchSupport.from_architecture(LMDViTArch(), before=(spandrel.ArchId("Uformer"),)),
        spandrel.ArchSupport.from_architecture(DMPHNArch()),
        ignore_duplicates=True,
    )


class LMDViTArch(spandrel.Architecture[DeblurringNetwork]):
    """LMD-ViT, under our names or those of the released checkpoint."""

    def __init__(self) -> None:
        super().__init__(id="LMD-ViT", detect=_is_lmdvit)

    def load(self, state_dict: Mapping[str, Tensor]) -> spandrel.ImageModelDescriptor:
        """A network with these weights; global LeFF cannot be told from W-LeFF, which it gets."""
        state = from_released(state_dict) if is_released(state_dict) else dict(state_dict)
        config = infer_config(state)
        # Predictors weigh a place against the mean of the whole picture.
        tiling = spandrel.ModelTiling.DISCOURAGED
        return _descriptor(self, build(config), state, config.embed_dim, tiling)


class DMPHNArch(spandrel.Architecture[DeblurringNetwork]):
    """DMPHN without sampling, under our names: the released form is eight files."""

    def __init__(self) -> None:
        super().__init__(id="DMPHN", detect=_is_dmphn)

    def load(self, state_dict: Mapping[str, Tensor]) -> spandrel.ImageModelDescriptor:
        """A network with these weights."""
        state, config = dict(state_dict), dmphn.infer_config(state_dict)
        # It cuts the picture into patches itself.
        tiling = spandrel.ModelTiling.DISCOURAGED
        return _descriptor(self, build(config), state, config.embed_dim, tiling)


def _is_lmdvit(state: Mapping[str, Tensor]) -> bool:
    head = state.get("output_proj.weight", state.get("output_proj.proj.0.weight"))
    named = "encoder.0.blocks.0.attention.bias_table" in state or is_released(state)
    return named and head is not None and head.shape[0] == _GATE_AND_RESIDUAL


def _is_dmphn(state: Mapping[str, Tensor]) -> bool:
    ends = {"levels.0.encoder.0.weight", "levels.0.decoder.0.0.weight"}
    return ends <= state.keys() and not any("sampler" in name for name in state)


def _descriptor(
    architecture: spandrel.Architecture[DeblurringNetwork],
    network: DeblurringNetwork,
    state: dict[str, Tensor],
    embed_dim: int,
    tiling: spandrel.ModelTiling,
) -> spandrel.ImageModelDescriptor:
    return spandrel.ImageModelDescriptor(
        network,
        state,
        architecture=architecture,
        purpose="Restoration",
        tags=[f"{embed_dim}c"],
        supports_half=True,
        supports_bfloat16=True,
        scale=1,
        input_channels=3,
        output_channels=3,
        # No sizes are asked for: the network itself pads any picture, from 1 x 1 pixels.
        tiling=tiling,
        call_fn=lambda model, blurred: model(blurred).restored.to(blurred.dtype),
    )

"""Names of the authors' released LMD-ViT checkpoint, and back.

One rename table serves both ways; sizes are read off names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from unsmear.errors import ModelError
from unsmear.layers.attention import relative_position_index
from unsmear.models.lmdvit import LMDViTConfig

# (released, ours), each a template with {0}, {1} for numbers; "dowsample" is the released spelling.
# Back, the table is read from its end, so that the most general template comes first.
_RENAMES = (
    (".attn.qkv.", ".attention."),
    ("input_proj.proj.0.", "input_proj."),
    ("output_proj.proj.0.", "output_proj."),
    ("dowsample_{0}.conv.0.", "shrink.{0}."),
    ("upsample_{0}.deconv.0.", "grow.{0}."),
    ("encoderlayer_{0}.", "encoder.{0}."),
    ("decoderlayer_{0}.", "decoder.{0}."),
    ("conv.blocks.", "bottleneck.blocks."),
    (".blocks.{0}.score_predictor.in_conv.", ".predictors.{0}.embed."),
    (".blocks.{0}.score_predictor.out_conv.", ".predictors.{0}.judge."),
    (".modulator.weight", ".modulator"),
    (".attn.relative_position_bias_table", ".attention.bias_table"),
    (".attn.proj.", ".attention.proj."),
    (".mlp.linear1.0.", ".feed_forward.expand."),
    (".mlp.dwconv.0.", ".feed_forward.depthwise."),
    (".mlp.linear2.0.", ".feed_forward.reduce."),
)

# Buffers of the released model that follow from its sizes and are computed anew here.
_DERIVED = re.compile(r"attn\.relative_position_index$|attn_mask$")


def _rename(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for source, target in table:
        pattern = re.escape(source).replace(r"\{0\}", r"(\d+)")
        name = re.sub(pattern, lambda m, t=target: t.format(*m.groups()), name)
    return name


def is_released(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the released model's names (``module.`` prefixes allowed)."""
    return any(name.removeprefix("module.").startswith("encoderlayer_0.") for name in state)


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a released state dict, ``module.`` prefixes or not, to this package's names."""
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {_rename(k, _RENAMES): v for k, v in plain.items() if not _DERIVED.search(k)}


def to_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename this package's state dict to the released model's names, derived buffers included."""
    back = tuple((ours, theirs) for theirs, ours in reversed(_RENAMES))
    released = {_rename(name, back): tensor for name, tensor in state.items()}
    for name in [n for n in released if n.endswith("relative_position_bias_table")]:
        side = (round(released[name].shape[0] ** 0.5) + 1) // 2
        released[name.replace("bias_table", "index")] = relative_position_index(side)
    return released


def infer_config(state: Mapping[str, Tensor]) -> LMDViTConfig:
    """Read the sizes of a network off its state dict (this package's names).

    W-LeFF and LeFF have the same weights and cannot be told apart; W-LeFF, the released choice,
    is assumed.

    Raises:
        ModelError: the names or the numbers of axes are not those of an LMD-ViT, or a weight that
            tells a size is empty.
    """
    try:
        places = [f"encoder.{i}" for i in range(4)] + ["bottleneck"]
        places += [f"decoder.{i}" for i in range(4)]
        tables = [state[f"{place}.blocks.0.attention.bias_table"] for place in places]
        expand = state["encoder.0.blocks.0.feed_forward.expand.weight"]
        first = state["input_proj.weight"]
    except KeyError as missing:
        raise ModelError(f"This is no LMD-ViT checkpoint: it has no {missing}.") from None
    if any(weight.ndim != 2 for weight in (*tables, expand)) or first.ndim != 4:
        raise ModelError("This is no LMD-ViT checkpoint: its weights have other numbers of axes.")
    if not all(weight.numel() for weight in (*tables, expand)):
        raise ModelError("This is no LMD-ViT checkpoint: some of its weights are empty.")
    # Counted, not the highest number: one that is out of order is a name that does not fit.
    depths = [
        len({found[1] for n in state if (found := re.match(rf"{place}\.blocks\.(\w+)\.", n))})
        for place in places
    ]
    return LMDViTConfig(
        embed_dim=first.shape[0],
        depths=tuple(depths),
        num_heads=tuple(table.shape[1] for table in tables),
        window_size=(round(tables[0].shape[0] ** 0.5) + 1) // 2,
        pruned_stages=tuple(
            number
            for number, place in enumerate(places, start=1)
            if any(name.startswith(place + ".predictors.") for name in state)
        ),
        mlp_ratio=expand.shape[0] // expand.shape[1],
    )

"""The authors' released DMPHN checkpoints: eight state dicts in a folder.

One table of layer numbers serves both ways; sizes are read off shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from unsmear.errors import ModelError
from unsmear.models.checkpoints import read_checkpoint
from unsmear.models.dmphn import GRIDS, DMPHNConfig

# The released number of each layer, in order; ours count from 0 without the gaps.
_NUMBERS = {
    "encoder": (1, 2, 3, 5, 6, 7, 9, 10, 11),
    "decoder": (13, 14, 16, 17, 18, 20, 21, 22, 24),
}

States = Mapping[str, Mapping[str, Tensor]]


def file_name(part: str, level: int) -> str:
    """Name of the file that holds the encoder or decoder of a level (from 1)."""
    return f"{part}_lv{level}.pkl"


def file_names(levels: int = len(GRIDS)) -> list[str]:
    """Names of all files of a released network with so many levels."""
    return [file_name(part, level) for part, level in _places(levels)]


def from_released(files: States) -> dict[str, Tensor]:
    """Rename released state dicts, by file name, to one state dict of ours.

    Names that are no layer of the released model are kept, so that loading reports them.
    ``module.`` prefixes are allowed.
    """
    state = {}
    for part, level in _places(len(files) // 2):
        ours = {f"layer{n}": f"{i}" for i, n in enumerate(_NUMBERS[part])}
        for name, tensor in files[file_name(part, level)].items():
            layer, _, rest = name.removeprefix("module.").partition(".")
            state[f"levels.{level - 1}.{part}.{ours.get(layer, layer)}.{rest}"] = tensor
    return state


def to_released(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Rename a state dict of ours to released state dicts, by file name."""
    files: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        _, level, part, index, rest = name.split(".", maxsplit=4)
        file = files.setdefault(file_name(part, int(level) + 1), {})
        file[f"layer{_NUMBERS[part][int(index)]}.{rest}"] = tensor
    return files


def read_folder(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Read the released state dicts of a folder, by file name, without pickle's powers.

    Args:
        folder: holds ``encoder_lv1.pkl`` to ``encoder_lv4.pkl`` and the decoders likewise; of
            DMPHN(1-2-4) levels 1 to 3 only.

    Raises:
        ModelError: a file that is missing or cannot be read.
    """
    present = [
        level
        for level in range(1, len(GRIDS) + 1)
        if any((folder / file_name(part, level)).is_file() for part in _NUMBERS)
    ]
    if not present:
        raise ModelError(
            f"{folder} is a folder without a checkpoint: neither model.safetensors is there, nor "
            f"encoder_lv1.pkl to decoder_lv{len(GRIDS)}.pkl of a released DMPHN; give a file."
        )
    names = file_names(max(present))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} holds no {', '.join(missing)}: a released DMPHN has them all.")
    return {name: read_checkpoint(folder / name)[0] for name in names}


def infer_config(state: Mapping[str, Tensor]) -> DMPHNConfig:
    """Read the sizes of a network off its state dict (this package's names).

    Raises:
        ModelError: the names are not those of a DMPHN.
    """
    first = state.get("levels.0.encoder.0.weight")
    if first is None or first.ndim != 4:
        raise ModelError(f"{file_name('encoder', 1)} is no encoder of a DMPHN.")
    levels = {int(name.split(".")[1]) for name in state}
    return DMPHNConfig(embed_dim=first.shape[0], levels=len(levels))


def _places(levels: int) -> list[tuple[str, int]]:
    return [(part, level) for level in range(1, levels + 1) for part in _NUMBERS]

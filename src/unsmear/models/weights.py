"""Networks with their weights: safetensors whose metadata hold the configuration as well."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unsmear import __version__
from unsmear.errors import ModelError, OutputError
from unsmear.models import dmphn_released
from unsmear.models.checkpoints import read_checkpoint, write_safetensors, write_torch
from unsmear.models.dmphn import DMPHN
from unsmear.models.growth import grown
from unsmear.models.hub import ADDRESS, WEIGHTS, fetch_address
from unsmear.models.lmdvit import LMDViT
from unsmear.models.network import DeblurringNetwork
from unsmear.models.registry import CONFIGS, DEFAULT_MODEL, FAMILIES, build, family_of, override
from unsmear.models.released import from_released, infer_config, is_released, to_released

_CONFIG_KEY = "unsmear.config"
_FAMILY_KEY = "unsmear.network"
_PREDICTORS = ".predictors."


def bundled_weights(name: str) -> Path | None:
    """The checkpoint of a named model that ships with the package, if it has one."""
    if name not in CONFIGS:
        return None
    path = Path(str(resources.files("unsmear") / "weights" / f"{name}.safetensors"))
    return path if path.is_file() else None


def find_checkpoint(source: str | Path) -> Path:
    """The file or folder that :func:`load_model` reads.

    Raises:
        ModelError: no such name or file, or the hub does not give it.
    """
    if not isinstance(source, str | os.PathLike):
        raise ModelError(
            "A model is a name, a checkpoint's path or a network of this package, without a "
            f"wrapper around it; got {type(source).__name__}."
        )
    if str(source).startswith(ADDRESS):
        return fetch_address(str(source))
    path = bundled_weights(str(source)) or Path(source)
    if str(source) and _exists(path):
        return path / WEIGHTS if (path / WEIGHTS).is_file() else path
    if str(source) in CONFIGS:
        raise ModelError(
            f"No weights of {source} come with this package; give a checkpoint's path, or "
            f"build it untrained with create_model({str(source)!r})."
        )
    raise ModelError(
        f"There is no model or checkpoint {str(source)!r}; named models are {', '.join(CONFIGS)}."
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def load_model(
    source: str | Path = DEFAULT_MODEL, *, grow: bool = False, **overrides: Any
) -> DeblurringNetwork:
    """Load a network with its weights, in float32 and eval mode.

    Args:
        source: a name with bundled weights, or a checkpoint: ours (safetensors), LMD-ViT's authors'
            (``.pth``, read without pickle's powers, or safetensors), the folder of DMPHN's, one
            that ``unsmear.exchange.hub`` saved, an address on the hub, ``hf://owner/name``, or a
            ``.ckpt`` that a training run wrote.
        grow: let the network have blocks and predictors that the checkpoint lacks, as training
            does that goes on from a smaller one; see :func:`unsmear.models.growth.grown`.
        **overrides: fields of the network's configuration. Unpruning stages drops their
            predictors; sizes that the weights do not have are refused.

    Raises:
        ModelError: no such name or file, or weights that do not fit.
    """
    path = find_checkpoint(source)
    config, state = _read_folder(path) if path.is_dir() else _read_file(path)
    network = build(override(config, overrides)).float()
    needed = network.state_dict()
    for weight in state.values():
        if not weight.is_floating_point():
            raise ModelError(
                f"The weights in {path} are stored as {weight.dtype}: floating-point numbers are "
                "read, of any size."
            )
    kept = {k: v.float() for k, v in state.items() if k in needed or _PREDICTORS not in k}
    if grow and isinstance(network, LMDViT):
        kept = grown(kept, needed)
    try:
        network.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"The weights in {path} do not fit the network: {reason}") from None
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise ModelError(
            f"The weights in {path} are not all finite numbers: the training that wrote them "
            "diverged, or the file is damaged; take an earlier checkpoint."
        )
    return network


def _read_file(path: Path) -> tuple[Any, dict[str, Tensor]]:
    state, metadata = read_checkpoint(path)
    if _CONFIG_KEY in metadata:
        family = metadata.get(_FAMILY_KEY, "lmdvit")  # the first files knew no other
        if family not in FAMILIES:
            raise ModelError(
                f"{path} holds a network named {family!r}, which this version does not know; "
                "a newer one may."
            )
        return _read_config(FAMILIES[family].config, metadata[_CONFIG_KEY], path), state
    if is_released(state):
        state = from_released(state)
    return infer_config(state), state


def _read_config(kind: type[Any], text: str, path: Path) -> Any:
    try:
        settings = json.loads(text)
        unknown = settings.keys() - {field.name for field in dataclasses.fields(kind)}
        if unknown:
            raise ModelError(
                f"{path} holds settings that this version does not know: "
                f"{', '.join(sorted(unknown))}; a newer one may."
            )
    except (ValueError, AttributeError):
        raise ModelError(
            f"The configuration in {path} is damaged: fetch or write the file again."
        ) from None
    try:
        return override(kind(), settings)
    except ModelError as error:
        raise ModelError(f"The configuration in {path} cannot be used: {error}") from None


def _read_folder(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    state = dmphn_released.from_released(dmphn_released.read_folder(folder))
    return dmphn_released.infer_config(state), state


def save_model(
    network: DeblurringNetwork,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a checkpoint that :func:`load_model` reads without anything else.

    Args:
        network: what to save; of one that ``torch.compile``, ``DataParallel`` or
            ``DistributedDataParallel`` wraps, the network inside.
        path: where; an existing file is replaced in one step.
        dtype: store in this type (``torch.float16`` halves the file); default as they are.
        metadata: more strings to keep with it, such as how it was trained.

    Raises:
        ModelError: what is to be saved is no network of this package, or not in this type.
        OutputError: the folder is not there, the path is one, or the disk does not take it.
    """
    if dtype is not None and not dtype.is_floating_point:
        raise ModelError(f"Weights are stored as floating-point numbers, not as {dtype}.")
    network = _unwrapped(network)
    state = {
        k: v.detach().to("cpu", dtype or v.dtype).contiguous()
        for k, v in network.state_dict().items()
    }
    return write_safetensors(state, Path(path), {**(metadata or {}), **describe(network)})


def stored_as(path: Path) -> tuple[torch.dtype | None, dict[str, str]]:
    """The number type of a checkpoint's weights and its metadata; of a folder, neither.

    Raises:
        ModelError: a file that is no checkpoint.
    """
    if path.is_dir():
        return None, {}
    state, about = read_checkpoint(path)
    return next(each.dtype for each in state.values() if each.is_floating_point()), about


def describe(network: DeblurringNetwork) -> dict[str, str]:
    """What a checkpoint's metadata must hold for :func:`load_model`: family and configuration."""
    return {
        _FAMILY_KEY: family_of(network.config),
        _CONFIG_KEY: json.dumps(dataclasses.asdict(network.config)),
        "unsmear.version": __version__,
    }


def _unwrapped(network: nn.Module) -> DeblurringNetwork:
    inside = network
    while not isinstance(inside, DeblurringNetwork):
        wrapped = getattr(inside, "_orig_mod", None) or getattr(inside, "module", None)
        if wrapped is None:
            raise ModelError(
                f"What is saved is a network of this package, got {type(network).__name__}."
            )
        inside = wrapped
    return inside


def convert_checkpoint(source: str | Path, destination: str | Path, *, to: str = "unsmear") -> Path:
    """Turn the authors' checkpoint into ours (``to="unsmear"``) or back (``to="released"``).

    Ours keeps the source's number type and metadata.
    LMD-ViT's released form is written as ``.pth`` (under ``state_dict``) or as safetensors, by
    suffix; DMPHN's as eight ``.pkl`` files in a folder, which is made.

    Raises:
        ModelError: a source that cannot be read, or a network that has no released form.
        OutputError: the destination cannot be written.
    """
    network, path = load_model(source), Path(destination)
    if to == "unsmear":
        dtype, about = stored_as(find_checkpoint(source))
        return save_model(network, path, dtype=dtype, metadata=about)
    if isinstance(network, LMDViT):
        return _write_released(network, path)
    if isinstance(network, DMPHN) and not network.config.sampling:
        return _write_released_folder(network, path)
    raise ModelError(
        f"{source} is neither an LMD-ViT nor a DMPHN without sampling: no other network has a "
        "released form."
    )


def _write_released(network: LMDViT, path: Path) -> Path:
    if network.config.feed_forward != "wleff":
        raise ModelError(
            f"This network has feed_forward={network.config.feed_forward!r}, which the released "
            "form cannot say: it would be read as one with W-LeFF. Keep it in our own form."
        )
    state = {k: v.contiguous() for k, v in to_released(network.state_dict()).items()}
    if path.suffix == ".safetensors":
        return write_safetensors(state, path)
    if path.suffix == ".pth":
        return write_torch({"state_dict": state}, path)
    raise OutputError(f"{path} must end in .pth or .safetensors.")


def _write_released_folder(network: DMPHN, path: Path) -> Path:
    if path.suffix:
        raise OutputError(f"{path} is a file's name: a released DMPHN is a folder, give one.")
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {path} cannot be made ({error.strerror}): give another."
        ) from None
    files = dmphn_released.to_released(network.state_dict())
    for name, state in files.items():
        write_torch(state, path / name)
    for name in set(dmphn_released.file_names()) - files.keys():  # of one with more levels
        (path / name).unlink(missing_ok=True)
    return path

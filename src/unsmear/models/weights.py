"""Checkpoints: safetensors with the configuration in the file's metadata, so one file is enough."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unsmear import __version__
from unsmear.errors import ModelError, OutputError
from unsmear.models.lmdvit import LMDViT, LMDViTConfig
from unsmear.models.registry import CONFIGS, DEFAULT_MODEL, override
from unsmear.models.released import from_released, infer_config, is_released, to_released

_CONFIG_KEY = "unsmear.config"
_PREDICTORS = ".predictors."


def bundled_weights(name: str) -> Path | None:
    """The checkpoint of a named model that ships with the package, if it has one."""
    path = Path(str(resources.files("unsmear") / "weights" / f"{name}.safetensors"))
    return path if path.is_file() else None


def load_model(
    source: str | Path = DEFAULT_MODEL, *, fresh_predictors: bool = False, **overrides: Any
) -> LMDViT:
    """Load a network with its weights, in float32 and eval mode.

    Args:
        source: a name with bundled weights, or a checkpoint: ours (safetensors), or the authors'
            (``.pth``, read without pickle's powers, or safetensors).
        fresh_predictors: let predictors that the checkpoint lacks begin untrained, as training
            does that goes on from a network without them.
        **overrides: fields of :class:`LMDViTConfig`. Unpruning stages drops their predictors;
            sizes that the weights do not have are refused.

    Raises:
        ModelError: no such name or file, or weights that do not fit.
    """
    path = bundled_weights(str(source)) or Path(source)
    if not path.is_file():
        if str(source) in CONFIGS:
            raise ModelError(
                f"No weights of {source} come with this package; give a checkpoint's path, or "
                f"build it untrained with create_model({str(source)!r})."
            )
        raise ModelError(
            f"There is no model or checkpoint {str(source)!r}; "
            f"named models are {', '.join(CONFIGS)}."
        )
    state, metadata = read_checkpoint(path)
    if is_released(state):
        state = from_released(state)
    saved = metadata.get(_CONFIG_KEY)
    config = override(
        LMDViTConfig(**json.loads(saved)) if saved else infer_config(state), overrides
    )
    network = LMDViT(config)
    needed = network.state_dict()
    kept = {k: v.float() for k, v in state.items() if k in needed or _PREDICTORS not in k}
    if fresh_predictors:
        kept = {k: v for k, v in needed.items() if _PREDICTORS in k} | kept
    try:
        network.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"The weights in {path} do not fit the network: {reason}") from None
    return network.eval()


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a state dict and its metadata (empty for ``.pth``) from a checkpoint.

    Raises:
        ModelError: the file is neither safetensors nor a plain torch checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError):
        pass  # not this format; try the other
    unreadable = (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (*unreadable, ValueError, KeyError):
        raise ModelError(
            f"{path} is neither a safetensors file nor a torch checkpoint that can be read "
            "without running code from it."
        ) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path} holds no state dict (a mapping of names to tensors).")
    return dict(state), {}


def save_model(
    network: LMDViT,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a checkpoint that :func:`load_model` reads without anything else.

    Args:
        network: what to save.
        path: where; an existing file is replaced in one step.
        dtype: store in this type (``torch.float16`` halves the file); default as they are.
        metadata: more strings to keep with it, such as how it was trained.
    """
    state = {
        k: v.detach().to("cpu", dtype or v.dtype).contiguous()
        for k, v in network.state_dict().items()
    }
    about = dict(metadata or {})
    about[_CONFIG_KEY] = json.dumps(dataclasses.asdict(network.config))
    about["unsmear.version"] = __version__
    return _write(state, Path(path), about)


def convert_checkpoint(source: str | Path, destination: str | Path, *, to: str = "unsmear") -> Path:
    """Turn the authors' checkpoint into ours (``to="unsmear"``) or back (``to="released"``).

    The released form is written as ``.pth`` (under ``state_dict``) or as safetensors, by suffix.

    Raises:
        ModelError: a source that cannot be read or is no LMD-ViT.
        OutputError: the destination cannot be written.
    """
    network, path = load_model(source), Path(destination)
    if to == "unsmear":
        return save_model(network, path)
    state = {k: v.contiguous() for k, v in to_released(network.state_dict()).items()}
    if path.suffix == ".safetensors":
        return _write(state, path, {})
    return _replace(path, lambda temporary: torch.save({"state_dict": state}, temporary))


def _write(state: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> Path:
    return _replace(path, lambda temporary: save_file(state, temporary, metadata=metadata))


def _replace(path: Path, write: Any) -> Path:
    """Write through a temporary name, so that no half-written checkpoint is ever left."""
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}; make it first.")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        write(temporary)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path

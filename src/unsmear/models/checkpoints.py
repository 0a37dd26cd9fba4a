"""Checkpoint files: read without running code from them, written whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unsmear.errors import ModelError, OutputError

# Where a training run's checkpoint holds what safetensors call metadata, and how it names weights.
ABOUT_KEY = "unsmear"
NETWORK_PREFIX = "network."


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
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # what torch trips over in a damaged file can be of any kind
        raise ModelError(
            f"{path} is neither a safetensors file nor a torch checkpoint that can be read "
            "without running code from it."
        ) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ModelError(f"{path} holds no state dict (a mapping of names to tensors).")
    about = loaded.get(ABOUT_KEY) if isinstance(loaded, dict) else None
    if isinstance(about, dict) and all(isinstance(value, str) for value in about.values()):
        return {name.removeprefix(NETWORK_PREFIX): value for name, value in state.items()}, about
    return dict(state), {}


def write_safetensors(
    state: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> Path:
    """Write a state dict, replacing an existing file in one step."""
    return write_through(path, lambda temporary: save_file(state, temporary, metadata=metadata))


def write_torch(state: Mapping[str, object], path: Path) -> Path:
    """Write what ``torch.load`` reads, replacing an existing file in one step."""
    whole = io.BytesIO()  # of a file that cannot be written torch does not say why
    torch.save(state, whole)
    return write_through(path, lambda temporary: Path(temporary).write_bytes(whole.getbuffer()))


def write_through(path: Path, write: Callable[[str], object]) -> Path:
    """Write through a temporary name, so that no half-written checkpoint is ever left.

    Raises:
        OutputError: the folder is not there, the path is one, or the disk does not take it.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give a file's name.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}; make it first.")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            write(temporary)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} cannot be written ({reason}): check its folder.") from None
    return path

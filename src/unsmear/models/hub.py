"""Checkpoints on the Hugging Face hub, fetched into its cache on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unsmear.errors import ModelError

ADDRESS = "hf://"
WEIGHTS = "model.safetensors"


def fetch_address(address: str) -> Path:
    """The weights at ``hf://owner/name``, or at a branch, tag or commit ``hf://owner/name@v2``."""
    repo, _, revision = address.removeprefix(ADDRESS).partition("@")
    return fetch_weights(repo, revision=revision or None)


def fetch_weights(repo: str, **choices: Any) -> Path:
    """The weights of a repository on the hub; downloaded once, then taken from the cache.

    Args:
        repo: "owner/name".
        **choices: those of ``huggingface_hub.hf_hub_download``, such as ``revision`` or ``token``.

    Raises:
        ModelError: huggingface_hub is not installed, or the hub does not give the file.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as missing:
        raise ModelError(
            f"Models of the hub need {missing.name}, which is not installed: "
            "pip install 'unsmear[hub]'"
        ) from None
    try:
        return Path(hf_hub_download(repo, WEIGHTS, **choices))
    except (OSError, ValueError) as error:  # what the hub raises: its own kinds of both
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"The hub gives no {WEIGHTS} of {repo!r}: {reason}") from None

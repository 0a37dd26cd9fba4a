"""The node: pictures in, deblurred pictures and their blur maps out."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unsmear import Deblurrer
from unsmear.errors import InputError
from unsmear.inference import Steering
from unsmear.models import CONFIGS, DEFAULT_MODEL, bundled_weights

try:
    import folder_paths  # ComfyUI's own  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError:
    folder_paths = None

FOLDER = "unsmear"
SUFFIXES = (".safetensors", ".pth")
WHITE = 65535  # 16 bits hold every level of 8 and 16-bit pictures

if folder_paths is not None:
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


class Deblur:
    """Removes motion blur where something moved; every other pixel stays as it was."""

    RETURN_TYPES = ("IMAGE", "MASK")
    RETURN_NAMES = ("image", "blur_map")
    FUNCTION = "deblur"
    CATEGORY = "image/restoration"
    DESCRIPTION = __doc__

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802, ComfyUI's name
        """What the node takes, in ComfyUI's terms."""
        share = {"min": 0.0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "image": ("IMAGE",),
                "model": (model_names(), {"default": DEFAULT_MODEL}),
                "threshold": (
                    "FLOAT",
                    {**share, "default": 0.5, "tooltip": "How sure of blur; lower touches more."},
                ),
                "strength": (
                    "FLOAT",
                    {**share, "default": 1.0, "tooltip": "Share of the change that is applied."},
                ),
            },
            "optional": {
                "mask": (
                    "MASK",
                    {"tooltip": "Deblur where it is white, and only there. Unconnected: anywhere."},
                ),
            },
        }

    def deblur(
        self,
        image: Tensor,
        model: str,
        threshold: float,
        strength: float,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Deblur a batch.

        Args:
            image: [B, H, W, C] float in [0, 1]; channels after the third are left alone.
            model: one of :func:`model_names`.
            threshold: blur confidence above which a window is kept; in [0, 1].
            strength: share of the change that is applied; in [0, 1].
            mask: [B, H, W], [1, H, W] or [H, W], white above one half.

        Returns:
            Pictures like ``image``, bit-identical where nothing was touched, and blur maps
            [B, H, W] in [0, 1].

        Raises:
            InputError: a mask of another size or number.
        """
        engine = engine_of(model)
        masks = [None] * len(image) if mask is None else _regions(mask, len(image))
        made, maps = image.clone(), torch.zeros(image.shape[:3])
        for number, region in enumerate(masks):
            steering = Steering(mask=region, threshold=threshold, strength=strength)
            colours = min(image.shape[-1], 3)
            levels = image[number, ..., :colours].float().clamp(0, 1).cpu().numpy() * WHITE
            result = engine.deblur(np.rint(levels).astype(np.uint16), steering)
            rgb = torch.from_numpy(result.picture.rgb[..., :colours].astype(np.float32) / WHITE)
            touched = torch.from_numpy(result.touched).to(made.device)
            made[number, ..., :colours][touched] = rgb.to(made)[touched]
            maps[number] = torch.from_numpy(result.blur_map)
        return made, maps


def model_names() -> list[str]:
    """Networks with bundled weights, then the checkpoints in ComfyUI's ``models/unsmear``."""
    bundled = [name for name in CONFIGS if bundled_weights(name)]
    if folder_paths is None:
        return bundled
    files = folder_paths.get_filename_list(FOLDER)
    return bundled + [name for name in files if name.endswith(SUFFIXES)]


@lru_cache(maxsize=1)
def engine_of(model: str) -> Deblurrer:
    """The engine of a model; that of the last one stays loaded."""
    if bundled_weights(model) or folder_paths is None:
        return Deblurrer(model)
    return Deblurrer(folder_paths.get_full_path(FOLDER, model) or model)


def _regions(mask: Tensor, pictures: int) -> list[np.ndarray]:
    """One bool (H, W) for each picture; a single mask serves them all."""
    regions = (mask > 0.5).cpu().numpy().reshape(-1, *mask.shape[-2:])
    if len(regions) not in (1, pictures):
        raise InputError(
            f"There are {len(regions)} masks for {pictures} pictures: give one, or one for each."
        )
    return [*regions] * (pictures if len(regions) == 1 else 1)


NODE_CLASS_MAPPINGS = {"UnsmearDeblur": Deblur}
NODE_DISPLAY_NAME_MAPPINGS = {"UnsmearDeblur": "Deblur what moved (unsmear)"}

"""The LMD-ViT authors' ``.npy`` files: a pickled dict of arrays, read without running its code."""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsmear.data.sources.files import PairFiles
from unsmear.data.sources.source import Pair
from unsmear.errors import InputError

KEYS = ("img_blur", "img_gt", "blur_mask")
# All that the pickle of an array, or of a single number, refers to.
ARRAY_PARTS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
}


def load_archive(files: PairFiles) -> Pair:
    """Read a pair that is one ``.npy`` file.

    The file holds a dict with `img_blur` and `img_gt`, [H, W, 3] uint8 RGB, and `blur_mask`,
    [H, W] or [H, W, C] of any number type, where everything but 0 is blurred.

    Raises:
        InputError: the file is missing, damaged, or holds anything else.
    """
    path = files.blurred
    held = read_archive(path)
    if missing := [key for key in KEYS[:2] if key not in held]:
        raise InputError(f"{path} has no {missing[0]}: it must be a dict of {', '.join(KEYS)}")
    blurred, sharp = (_picture(held[key], f"{path}: {key}") for key in KEYS[:2])
    mask = held.get("blur_mask")
    return Pair(files.name, blurred, sharp, None if mask is None else _mask(mask, str(path)))


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """Read a ``.npy`` file that holds a dict of arrays, as ``numpy.save`` wrote it.

    Nothing but arrays, numbers, strings and containers of them is built, so that a file from the
    net can do no harm.

    Raises:
        InputError: the file is missing, damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            held = _read_object(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file") from error
    except _RefusedError as error:
        raise InputError(f"{path} is not read: {error}") from error
    except Exception as error:
        # Damaged pickles fail in more ways than can be listed; all mean the same.
        raise InputError(f"{path} is no .npy file of arrays, or damaged: fetch it anew") from error
    if not isinstance(held, dict):
        raise InputError(f"{path} holds no dict: it must be a dict of {', '.join(KEYS)}")
    arrays = {key: held[key] for key in KEYS if key in held}
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise InputError(f"{path} holds other things than arrays under {', '.join(arrays)}")
    return arrays


class _RefusedError(Exception):
    """What was asked for is not given; the sentence says what."""


def _read_object(file: IO[bytes]) -> Any:
    """Read the one object of a ``.npy`` file."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(file)
    if shape != () or dtype != np.dtype(object):
        raise _RefusedError("it holds a plain array, not a dict of arrays")
    held = _ArrayUnpickler(file).load()
    return held.item() if isinstance(held, np.ndarray) else held


def _to_bytes(text: str, encoding: str) -> bytes:
    """What old pickles ask ``_codecs.encode`` for, and no other codec."""
    if encoding != "latin1":
        raise _RefusedError(f"it asks for the codec {encoding!r}, which no array needs")
    return codecs.latin_1_encode(text)[0]


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Give what pickled arrays are made with; refuse all other names."""
        # numpy 2 moved its insides from `core` to `_core`; files of both kinds are about.
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) == ("_codecs", "encode"):
            return _to_bytes
        if (module, name) in ARRAY_PARTS:
            return super().find_class(module, name)
        raise _RefusedError(f"it asks for {module}.{name}, which is no array and could run code")


def _picture(array: NDArray[Any], what: str) -> Tensor:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(f"{what} is {array.dtype} {array.shape}: it must be uint8 (H, W, 3)")
    return torch.from_numpy(np.array(array.transpose(2, 0, 1), order="C"))


def _mask(array: NDArray[Any], path: str) -> Tensor:
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or 0 in array.shape:
        raise InputError(
            f"{path}: blur_mask is {array.dtype} {array.shape}: it must be numbers (H, W)"
        )
    blurred = array > 0
    if blurred.ndim == 3:
        blurred = blurred.any(axis=2)
    return torch.from_numpy(blurred.astype(np.uint8))[None]

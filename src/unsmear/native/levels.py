"""The levels of the instruction set that the kernels were built for, and how weights are packed."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache

import torch
from torch import Tensor

LEVELS = ("avx512_bf16", "avx512", "avx2")  # best first
PANEL = 16  # columns of a weight that lie together
TOKENS = 64  # that are computed together
_TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


@cache
def usable_levels() -> tuple[str, ...]:
    """Those of :data:`LEVELS` that were built and that this machine has, best first."""
    return tuple(level for level in LEVELS if _supported(level))


def available(dtype: torch.dtype) -> bool:
    """Whether the kernels can compute maps of ``dtype`` here: float32 or bfloat16, on any level."""
    return dtype in _TYPES and bool(usable_levels())


class Level:
    """Kernels of one level for one number type.

    Attributes:
        dtype: of the maps.
        product: of the factors of products: ``dtype`` where the level multiplies it, else float32.
        library: the compiled kernels.

    Args:
        dtype: float32 or bfloat16.
        level: one of :func:`usable_levels`; by default the best.
    """

    def __init__(self, dtype: torch.dtype, level: str | None = None) -> None:
        level = level or usable_levels()[0]
        in_pairs = dtype == torch.bfloat16 and level == "avx512_bf16"
        self.dtype = dtype
        self.product = torch.bfloat16 if in_pairs else torch.float32
        self.library = _library(level)

    def call(self, name: str, *given: ctypes.Structure | Tensor) -> None:
        """Run the kernel ``name`` for the number type, which takes everything by its address."""
        self.entry(name)(
            *(
                ctypes.c_void_p(each.data_ptr()) if isinstance(each, Tensor) else ctypes.byref(each)
                for each in given
            )
        )

    def entry(self, name: str) -> ctypes._NamedFuncPointer:
        """The function ``name`` for the number type."""
        return self.library[f"{name}_{_TYPES[self.dtype]}"]

    def panels(self, weight: Tensor) -> Tensor:
        """Pack [out, in] into [out / 16, units of 32 bits, 16] of ``product``."""
        depth = 4 // self.product.itemsize
        panels = weight.to(self.product).unflatten(1, (-1, depth)).unflatten(0, (-1, PANEL))
        return panels.transpose(1, 2).contiguous()


def plain(tensor: Tensor) -> Tensor:
    """What is no factor of a product of matrices: float32, contiguous."""
    return tensor.float().contiguous()


@cache
def _library(level: str) -> ctypes.CDLL:
    found = importlib.util.find_spec(f"unsmear.native._{level}")
    if found is None or found.origin is None:
        raise ImportError(f"unsmear was installed without its native kernels for {level}")
    return ctypes.CDLL(found.origin)


def _supported(level: str) -> bool:
    try:
        return bool(_library(level).supported())
    except (ImportError, OSError):  # not built, or built for another machine
        return False

"""Fused kernels in Triton for steps that would fill the memory of a GPU with intermediates.

Each has a twin in plain torch in ``unsmear.layers``, which says what is computed,
has gradients and runs anywhere. :func:`can_fuse` is the one place that chooses between them.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_OLDEST = (8, 0)  # compute capability that Triton asks for


def can_fuse(x: Tensor) -> bool:
    """Whether the kernels can compute on ``x``: on CUDA, where Triton works, without gradients.

    Where Triton is installed but cannot build a kernel, one warning says why.
    """
    return (
        x.is_cuda
        and x.dtype in _DTYPES
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()  # which fuses the twin by itself
        and _can_build(x.device)
    )


@cache
def _can_build(device: torch.device) -> bool:
    """Whether Triton can build and start a kernel for ``device``: tries the smallest one."""
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < _OLDEST:
        return False
    try:
        from unsmear.kernels.pixel_filter import filter_pixels
    except ImportError:
        return False
    one = torch.ones(1, 1, 1, 1, device=device)
    try:
        filter_pixels(one, one, None, None, None, None)
    except Exception as problem:  # no C compiler, no Python headers, no folder to write to, ...
        warnings.warn(
            f"Triton is installed but cannot build kernels here, so plain torch computes, which is "
            f"slower and takes more memory: {problem}",
            stacklevel=2,
        )
        return False
    return True

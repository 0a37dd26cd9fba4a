"""Other people's networks, and any function from picture to picture, as restorers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from unsmear.errors import InputError, ModelError, UnsmearError
from unsmear.evaluation.restorer import Answer
from unsmear.evaluation.settings import Setting
from unsmear.runtime import resolve_device, resolve_dtype


class FunctionRestorer:
    """A function from [1, 3, H, W] to [1, 3, H, W], both RGB in [0, 1].

    Its multiply-adds are those of the convolutions and matrix products that torch runs, counted at
    the first picture of every size.

    Args:
        name: what tables call it.
        function: what restores, on ``device`` and in ``dtype``.
        parameters: how many it has.
        device: where it computes.
        dtype: in which type.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Tensor], Tensor],
        *,
        parameters: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.parameters = parameters
        self.device = torch.device(device)
        self.dtype = dtype
        self.setting: Setting | None = None
        self._function = function
        self._multiply_adds: dict[tuple[int, ...], int] = {}

    def __call__(self, blurred: Tensor) -> Answer:
        """Restore one picture [1, 3, H, W], float32 RGB in [0, 1] on the CPU.

        Raises:
            InputError: memory does not suffice, or the result is of another shape.
        """
        given = blurred.to(self.device, self.dtype)
        counter = FlopCounterMode(display=False)
        known = given.shape in self._multiply_adds
        try:
            with torch.no_grad(), contextlib.nullcontext() if known else counter:
                restored = self._function(given).float().cpu()
        except torch.OutOfMemoryError:
            raise InputError(
                f"The memory of {self.device} does not suffice for {self.name} on a picture of "
                f"{blurred.shape[-1]}x{blurred.shape[-2]} pixels; use --device cpu."
            ) from None
        if restored.shape != blurred.shape:
            raise InputError(
                f"{self.name} makes {tuple(restored.shape)} of a picture {tuple(blurred.shape)}; "
                "a restorer keeps size and colours."
            )
        if not known:
            self._multiply_adds[given.shape] = counter.get_total_flops() // 2
        spent = self._multiply_adds[given.shape]
        return Answer(restored, multiply_adds_dense=spent, multiply_adds_spent=spent)


def load_rival(path: str | Path, *, device: str = "auto", dtype: str = "auto") -> FunctionRestorer:
    """Open another network's checkpoint with spandrel: NAFNet, Uformer and what else it knows.

    Networks of spandrel_extra_arches, such as Restormer and MPRNet, are known where that package is
    installed; some of them come under licences of their own.

    Raises:
        UnsmearError: spandrel is not installed.
        ModelError: no such file, or a network that it does not know or that restores no RGB.
    """
    try:
        import spandrel  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as missing:  # RuntimeError: a torchvision of another torch
        raise UnsmearError(
            f"Rivals need spandrel, which cannot be imported ({missing}): "
            "pip install 'unsmear[rivals]'"
        ) from None
    with contextlib.suppress(ImportError):
        import spandrel_extra_arches  # pyright: ignore[reportMissingImports]

        spandrel_extra_arches.install(ignore_duplicates=True)
    if not Path(path).is_file():
        raise ModelError(f"There is no checkpoint {str(path)!r}: give --restorer a file.")
    try:
        model = spandrel.ModelLoader().load_from_file(path)
    except Exception as error:
        # Every architecture fails in its own way on a file that is none of its own.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"spandrel makes no network of {path}: {reason}") from None
    if not isinstance(model, spandrel.ImageModelDescriptor) or (
        model.scale,
        model.input_channels,
        model.output_channels,
    ) != (1, 3, 3):
        raise ModelError(f"{path} is no network from an RGB picture to one of the same size.")
    where = resolve_device(device)
    kind = resolve_dtype(dtype, where)
    able = {torch.bfloat16: model.supports_bfloat16, torch.float16: model.supports_half}
    if not able.get(kind, True):
        if dtype != "auto":
            raise InputError(f"{path} cannot compute in {dtype}; use --dtype float32.")
        kind = torch.float32
    model = model.to(where, kind).eval()
    return FunctionRestorer(
        str(path),
        model,
        parameters=sum(parameter.numel() for parameter in model.model.parameters()),
        device=where,
        dtype=kind,
    )

"""The ways to compute a picture that are timed against each other.

``fast`` is what the engine does. ``plain`` computes each block on all kept windows at once in
torch's public operations, as the released code does; it runs with the allocator tuned and, as
``untuned``, with the system's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

import torch
from torch import Tensor, nn

from unsmear.models import LMDViT, create_model
from unsmear.models.padding import pad_to_multiple
from unsmear.runtime import tune_allocator, tune_process

PATHS = ("fast", "plain", "untuned")
PLAIN_FEATURES = 14
"""Times the features of a network that the plain paths hold at their peak, measured on a CPU."""
Compute = Callable[[Sequence[Tensor]], Tensor]
"""Decisions to the restored picture, [1, 3, H, W] float32 on the CPU."""


def prepare_process(path: str) -> None:
    """Tune this process as a path has it; call it before the first large tensor."""
    if path == "fast":
        tune_process()
    elif path == "plain":
        tune_allocator()


def make_network(model: str) -> LMDViT:
    """A network with fresh weights, but such that every block has a say in the result.

    Time does not depend on them; whether two paths agree can only be seen where they work.
    """
    torch.manual_seed(0)
    network = create_model(model)
    assert isinstance(network, LMDViT), "others compute every pixel alike"
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    return network.requires_grad_(False)


def make_picture(width: int, height: int) -> Tensor:
    """The picture of all paths: [1, 3, H, W] in [0, 1]."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def compute_by(
    path: str, network: LMDViT, picture: Tensor, device: torch.device, dtype: torch.dtype
) -> Compute:
    """A function that computes a picture by a path.

    Args:
        path: one of :data:`PATHS`.
        network: overwritten: moved to the device, on the fast path also to the number type.
        picture: [1, 3, H, W].
        device: where to compute.
        dtype: float32, or a narrower type, which the plain paths take by autocast.
    """
    is_fast = path == "fast"
    network.to(device, dtype if is_fast else torch.float32)
    picture = picture.to(device)

    def compute(decisions: Sequence[Tensor]) -> Tensor:
        with ExitStack() as stack:
            for context in _contexts(is_fast, device, dtype):
                stack.enter_context(context)
            placed = [decision.to(device) for decision in decisions]
            return network(picture, decisions=placed).restored.float().cpu()

    return compute


def _contexts(
    is_fast: bool, device: torch.device, dtype: torch.dtype
) -> list[AbstractContextManager[object]]:
    if is_fast:
        return [torch.inference_mode()]
    # With gradients on a block computes all its windows at once; no weight asks for any.
    narrow = dtype != torch.float32
    return [torch.enable_grad(), torch.autocast(device.type, dtype if narrow else None, narrow)]


def keep_at_random(network: LMDViT, picture: Tensor, share: float) -> list[Tensor]:
    """Decisions that keep a share of the windows of each predictor, the same in every process."""
    generator = torch.Generator().manual_seed(1)
    height, width = pad_to_multiple(picture, network.size_step).shape[2:]
    maps = []
    for stage, _ in network.predictor_places:
        side = network.scale_of(stage) * network.config.window_size
        rows, columns = height // side, width // side
        order = torch.rand(rows * columns, generator=generator).argsort()
        kept = torch.zeros(rows * columns)
        kept[order[: round(share * len(order))]] = 1.0
        maps.append(kept.reshape(1, rows, columns))
    return maps


def shares_kept(network: LMDViT, decisions: Sequence[Tensor]) -> list[tuple[float, float]]:
    """Share of the windows kept in each stage's unshifted and shifted blocks."""
    shares = [[1.0, 1.0] for _ in network.stages]
    for (stage, shift), decision in zip(network.predictor_places, decisions, strict=True):
        shares[stage - 1][int(shift > 0)] = float(decision.mean())
    return [(plain, shifted) for plain, shifted in shares]

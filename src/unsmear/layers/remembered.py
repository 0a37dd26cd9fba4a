"""What is worked out from weights once, and again only when they have changed.

A change is seen by torch's count of changes in place, and by a count of optimisers' steps, since a
fused one is not in torch's. Who writes through ``weight.data``, as averaging of weights does, is
not counted: modules therefore forget when their mode is set. Threads may share what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

T = TypeVar("T")


class _Memory(NamedTuple, Generic[T]):
    """What was made, and what tells whether it is still right: read and replaced at once."""

    key: tuple[object, ...]
    weights: list[Tensor]  # held, so that no other weights can come to lie at the same address
    made: T


class Remembered(Generic[T]):
    """Keeps what :meth:`of` made last. Copies and pickles of a module leave it behind."""

    def __init__(self) -> None:
        self._memory: _Memory[T] | None = None

    def of(self, weights: Sequence[Tensor], wish: object, make: Callable[[], T]) -> T:
        """Give what ``make`` makes of the weights.

        Args:
            weights: all that it depends on.
            wish: what else it depends on, such as a number type.
            make: called without gradients when a weight or the wish is another than last time.
        """
        key = (wish, _steps, *[(weight.data_ptr(), _version(weight)) for weight in weights])
        memory = self._memory
        if memory is None or key != memory.key:
            with torch.no_grad():
                memory = _Memory(key, [weight.detach() for weight in weights], make())
            self._memory = memory
        return memory.made

    def forget(self) -> None:
        """Work it out anew next time."""
        self._memory = None

    def __reduce__(self) -> tuple[type[Remembered[T]], tuple[()]]:
        """Copy as one that remembers nothing yet."""
        return type(self), ()


def _version(weight: Tensor) -> object:
    """Count of the changes in place; what was made in inference mode has none and is always new."""
    return object() if weight.is_inference() else weight._version


_steps = 0


def _count_step(*_: object) -> None:
    global _steps
    _steps += 1


register_optimizer_step_post_hook(_count_step)

"""What is worked out from weights once, and again only when they have changed.

A change is seen by torch's count of changes in place, and by a count of optimisers' steps, since a
fused one is not in torch's. Who writes through ``weight.data``, as averaging of weights does, is
not counted: modules therefore forget when their mode is set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

T = TypeVar("T")


class Remembered(Generic[T]):
    """Keeps what :meth:`of` made last. Copies and pickles of a module leave it behind."""

    def __init__(self) -> None:
        self._weights: list[Tensor] = []
        self._key: tuple[object, ...] = ()
        self._made: T | None = None

    def of(self, weights: Sequence[Tensor], wish: object, make: Callable[[], T]) -> T:
        """Give what ``make`` makes of the weights.

        Args:
            weights: all that it depends on.
            wish: what else it depends on, such as a number type.
            make: called without gradients when a weight or the wish is another than last time.
        """
        key = (wish, _steps, *[(weight.data_ptr(), _version(weight)) for weight in weights])
        if self._made is None or key != self._key:
            with torch.no_grad():
                self._made = make()
            # Held, so that no other weights can come to lie at the same address.
            self._weights = [weight.detach() for weight in weights]
            self._key = key
        return self._made

    def forget(self) -> None:
        """Work it out anew next time."""
        self._made = None

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

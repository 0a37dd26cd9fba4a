"""Muon: momentum whose matrices are made orthogonal, with AdamW for all that is no matrix.

A weight matrix learns in all its directions at the same pace instead of along the few that have
the largest gradients. On the CPU, where a run is some thousand steps, that decides how far it gets.
(Jordan et al., 2024; the step's size as in Liu et al., 2025, so that AdamW's rates serve.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from unsmear.runtime import resolve_dtype

# Of the quintic iteration that draws all singular values of a matrix towards 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# Root mean square of an AdamW step of rate 1, which an orthogonal one is scaled to.
ADAMW_STEP = 0.2


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but for groups of matrices marked ``orthogonal=True``, which step by Muon.

    Args:
        params: groups; those marked hold weights [rows, ...] only, which step as matrices of so
            many rows.
        lr: learning rate of groups that have none of their own.
        momentum: of the marked groups.
        **adamw: further options of :class:`torch.optim.AdamW`.

    Raises:
        ValueError: a marked group holds a parameter of one dimension.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, *, momentum: float = 0.95, **adamw: Any
    ) -> None:
        super().__init__(params, lr=lr, **adamw)
        for group in self.param_groups:
            group.setdefault("orthogonal", False)
            group.setdefault("momentum", momentum)
            if group["orthogonal"] and any(p.ndim < 2 for p in group["params"]):
                raise ValueError("Muon steps matrices only; put vectors into another group.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                # Before the groups are parted: a closure clears the gradients of them all.
                loss = closure()
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["orthogonal"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["orthogonal"]:
                self._step_matrices(group)
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for weight in group["params"]:
            if weight.grad is not None:
                by_shape[tuple(weight.shape)].append(weight)
        for shape, weights in by_shape.items():
            # All matrices of a shape in one product: most are too small to keep the cores busy.
            directions = torch.stack([self._direction(w, group) for w in weights]).flatten(2)
            steps = orthogonalize(directions)
            size = group["lr"] * ADAMW_STEP * max(directions.shape[1:]) ** 0.5
            for weight, step in zip(weights, steps, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step.reshape(shape).to(weight.dtype), alpha=-size)

    def _direction(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """Nesterov's momentum of a weight, updated with its gradient."""
        gradient = weight.grad
        assert gradient is not None, "weights without one were left out"
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())  # AdamW looks for it when a state is loaded
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return torch.lerp(gradient, momentum, group["momentum"])


def orthogonalize(matrices: Tensor) -> Tensor:
    """Bring all singular values near 1: [N, rows, columns] -> the same.

    Newton-Schulz: the values end between 0.7 and 1.2, which is as good as 1 here, and so is
    bfloat16; it is taken where products in it are fast.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.to(resolve_dtype("auto", matrices.device))
    x = x.mT.contiguous() if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x

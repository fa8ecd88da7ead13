"""The optimizers by name, and Muon, which torch has for plain matrices only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that pulls singular values towards 1 (Jordan, 2024)."""

STEPS = 5
MOMENTUM = 0.95


class Muon(torch.optim.AdamW):
    """Groups marked `hidden` step along their orthogonalised momentum, the others as in AdamW.

    Jordan, 2024 (kellerjordan.github.io/posts/muon), with the step's size matched to AdamW's
    (Liu et al., 2025, arXiv:2502.16982), so that one learning rate serves both. A convolution is
    the matrix (out, in * height * width). torch.optim.Muon takes plain matrices only.
    """

    found_inf: Tensor | None = None
    """1 where this step is to be skipped, as torch's fused optimizers have it."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"] if group["hidden"] else []:
                if parameter.grad is None:
                    continue
                state, gradient, rate = self.state[parameter], parameter.grad, group["lr"]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                    state["step"] = torch.zeros(())  # AdamW looks for one when it is loaded
                momentum = state["momentum"]
                if self.found_inf is not None:  # no branch on its value: the device need not wait
                    gradient = torch.where(self.found_inf > 0, momentum, gradient)
                    rate = rate * (1 - self.found_inf)
                momentum.lerp_(gradient, 1 - MOMENTUM)
                ahead = gradient.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov
                update = orthogonalised(ahead).view_as(parameter)
                size = 0.2 * max(ahead.shape) ** 0.5  # the usual size of AdamW's step
                parameter.mul_(1 - rate * group["weight_decay"]).sub_(update * (rate * size))
                parameter.grad = None  # AdamW passes over it
        return super().step()


def step_if_finite(optimizer: torch.optim.Optimizer, finite: Tensor) -> None:
    """Step, or leave everything as it is where `finite` (a bool on the device) is false."""
    if optimizer.defaults["fused"]:
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
    elif not finite:
        return
    optimizer.step()


def make_optimizer(name: str, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
    """The optimizer of that name over groups of models.transfer.parameter_groups."""
    makers = {"muon": Muon, "adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    return makers[name](groups, fused=fused)


def orthogonalised(matrix: Tensor) -> Tensor:
    """About U V' of a matrix (R, C) = U S V': its singular values pulled to 0.7 .. 1.2.

    Newton-Schulz iterations. All of them are polynomials in the small one of M M' and M' M, so
    they run on that alone, and the matrix is multiplied once at the end.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    wide = wide / (wide.norm() + 1e-7)
    gram, product = wide @ wide.T, None
    for step in range(STEPS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor if product is None else factor @ product
        if step < STEPS - 1:
            gram = factor @ gram @ factor
    result = product @ wide
    return result.T if tall else result

"""The head alone, adapted exactly: logistic regression on pooled states, from the base model's head as its prior.

The problem is strictly convex, and with n feedback documents it has n unknowns in its dual, so a few Newton steps solve
it; the solution is differentiable, so that a model can be trained to be adapted in this way (Bertinetto et al.,
"Meta-learning with differentiable closed-form solvers", ICLR 2019; Raghu et al., "Rapid learning or feature reuse?",
ICLR 2020, for adapting the head alone).
"""

from __future__ import annotations

import torch
from torch import Tensor

BIAS_PRECISION = 1e-2
"""Of the bias's prior: next to none, for how many documents are relevant differs from query to query."""


def solve(
    features: Tensor,
    offset: Tensor,
    relevance: Tensor,
    weight: Tensor,
    precision: Tensor,
    bias_precision: Tensor,
    steps: int = 50,
) -> tuple[Tensor, Tensor]:
    """The change (width,) of the head's weight and the change () of its bias that minimise

        precision / 2 |change|^2 + bias_precision / 2 bias^2 + sum_i weight_i (log(1 + exp z_i) - relevance_i z_i)

    with z = offset + features change + bias. `features` is (n, width); `offset`, the scores before, `relevance` in [0,
    1] and `weight` >= 0 are (n,). Newton's method in the dual, as in `ranking.probe.fit_logistic`, with at most `steps`
    steps, in float64.
    """
    # The solution is found without a trace; one last step from it carries the gradient. At the solution that step is
    # zero, and its derivative is that of the solution (implicit function theorem), with nothing to unroll.
    x, start = features.double(), offset.double()
    wanted, w = relevance.double(), weight.double()
    inverse, bias_inverse = 1.0 / precision.double(), 1.0 / bias_precision.double()
    kernel = inverse * (x @ x.T) + bias_inverse
    with torch.no_grad():
        dual = torch.zeros_like(start)
        for _ in range(steps):
            step, _ = _newton(kernel, start, wanted, w, dual)
            # Far out the logistic is flat and a whole step overshoots: no score moves by more than this at once.
            moved = (kernel @ step).abs().max()
            dual = dual + step * torch.clamp(4.0 / moved.clamp_min(1e-12), max=1.0)
            if float(moved) < 1e-9:
                break
        _, system = _newton(kernel, start, wanted, w, dual)
    residual = w * (wanted - torch.sigmoid(start + kernel @ dual)) - dual
    dual = dual + torch.linalg.solve(system, residual)
    return (inverse * (x.T @ dual)).to(features.dtype), (bias_inverse * dual.sum()).to(features.dtype)


def _newton(kernel: Tensor, start: Tensor, wanted: Tensor, weight: Tensor, dual: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's step (n,) and the system (n, n) that it solves: (I + C K) step = residual."""
    p = torch.sigmoid(start + kernel @ dual)
    system = torch.eye(len(start), dtype=start.dtype, device=start.device) + (weight * p * (1.0 - p))[:, None] * kernel
    return torch.linalg.solve(system, weight * (wanted - p) - dual), system

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from ranking.learning.head import solve


def problem(seed: int, n: int, width: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    features, offset = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((n, width), (n,)))
    relevance, weight = (torch.rand(n, generator=random, dtype=torch.float64) for _ in range(2))
    return features, 3 * offset, relevance, 2 * weight


@given(st.integers(0, 10_000), st.integers(1, 12), st.floats(0.05, 50.0))
@settings(max_examples=20)
def test_the_solution_minimises_the_objective(seed: int, n: int, precision: float) -> None:
    features, offset, relevance, weight = problem(seed, n)

    def objective(point: npt.NDArray[np.float64]) -> float:
        z = offset.numpy() + features.numpy() @ point[:-1] + point[-1]
        fit = float((weight.numpy() * (np.logaddexp(0.0, z) - relevance.numpy() * z)).sum())
        return fit + 0.5 * precision * float(point[:-1] @ point[:-1]) + 0.5e-2 * float(point[-1] ** 2)

    change, bias = solve(features, offset, relevance, weight, torch.tensor(precision), torch.tensor(1e-2))
    ours = objective(np.append(change.numpy(), bias.numpy()))
    best = minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-7})
    assert ours <= best.fun + 1e-6
    np.testing.assert_allclose(np.append(change.numpy(), bias.numpy()), best.x, atol=1e-3)


def test_its_derivatives_are_right() -> None:
    features, offset, relevance, weight = problem(0, 6)
    numbers = (torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64))
    inputs = [each.requires_grad_() for each in (features, offset, relevance, weight, *numbers)]
    assert torch.autograd.gradcheck(solve, inputs, atol=1e-6)


def test_a_document_of_no_weight_says_nothing_and_soft_relevance_is_a_mixture() -> None:
    features, offset, _, _ = problem(1, 4)
    numbers = (torch.tensor(1.0), torch.tensor(1e-2))
    labels = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    silent = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    with_silent, _ = solve(features, offset, labels, silent, *numbers)
    without, _ = solve(features[:3], offset[:3], labels[:3], silent[:3], *numbers)
    torch.testing.assert_close(with_silent, without)
    soft, _ = solve(features[:1], offset[:1], torch.tensor([0.3]), torch.tensor([1.0]), *numbers)
    twice, zero_or_one = features[[0, 0]], torch.tensor([1.0, 0.0])
    mixed, _ = solve(twice, offset[[0, 0]], zero_or_one, torch.tensor([0.3, 0.7]), *numbers)
    torch.testing.assert_close(soft, mixed)


def test_feedback_of_one_kind_far_out_still_has_a_finite_solution() -> None:
    features = torch.full((3, 4), 30.0)
    change, bias = solve(
        features, torch.full((3,), -80.0), torch.ones(3), torch.ones(3), torch.tensor(1e-3), torch.tensor(1e-2)
    )
    assert bool(torch.isfinite(change).all())
    assert bool(torch.isfinite(bias))
    assert float((features @ change + bias).min()) > 0

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ranking.learning.objectives import OBJECTIVES, binary, distilled, finite, listwise, pairwise


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_binary_is_the_cross_entropy_with_soft_labels() -> None:
    p = 1 / (1 + math.exp(-0.7))
    expected = -(0.3 * math.log(p) + 0.7 * math.log(1 - p))
    assert float(binary(t(0.7), t(0.3), t(2.0))) == pytest.approx(expected)


def test_pairwise_counts_pairs_by_how_much_they_differ() -> None:
    found = float(pairwise(t(1.0, -1.0, 0.0), t(1.0, 0.0, 0.5), t(1.0, 1.0, 1.0)))
    terms = [(1.0, 2.0), (0.5, 1.0), (0.5, 1.0)]
    expected = sum(much * math.log1p(math.exp(-gap)) for much, gap in terms) / sum(much for much, _ in terms)
    assert found == pytest.approx(expected)
    assert float(pairwise(t(1.0, 2.0), t(1.0, 1.0), t(1.0, 1.0))) == 0.0


def test_listwise_is_the_cross_entropy_with_the_softmax() -> None:
    total = math.exp(1.0) + math.exp(0.0)
    assert float(listwise(t(1.0, 0.0), t(1.0, 0.0), t(1.0, 1.0))) == pytest.approx(-math.log(math.exp(1.0) / total))
    assert float(listwise(t(1.0, 0.0), t(0.0, 0.0), t(1.0, 1.0))) == 0.0


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=6), st.floats(-5, 5))
def test_distillation_is_zero_exactly_at_the_teacher_whatever_its_level(scores: list[float], level: float) -> None:
    teacher = t(*scores)
    assert float(distilled(teacher + level, teacher)) == pytest.approx(0.0, abs=1e-9)
    moved = teacher.clone()
    moved[0] += 1.0
    assert float(distilled(moved, teacher)) > 0


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_prefers_the_right_order_and_ignores_weightless_documents(name: str) -> None:
    objective = OBJECTIVES[name]
    relevance, weight = t(1.0, 0.0, 1.0), t(1.0, 1.0, 0.0)
    assert objective(t(2.0, -2.0, 0.0), relevance, weight) < objective(t(-2.0, 2.0, 0.0), relevance, weight)
    if name != "listwise":  # its softmax is over all documents
        same = [float(objective(t(2.0, -2.0, other), relevance, weight)) for other in (-3.0, 3.0)]
        assert same[0] == pytest.approx(same[1])


def test_finite_means_neither_nan_nor_infinite() -> None:
    assert [finite(torch.tensor(value)) for value in (1.0, math.nan, math.inf)] == [True, False, False]

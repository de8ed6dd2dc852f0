"""The probe's solver against scipy on the primal objective, and what the classifier has to know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ranking.probe import Probe, fit_logistic
from ranking.vectors import Examples, FloatArray

DIMENSION = 6


def objective(
    theta: FloatArray,
    rows: FloatArray,
    labels: FloatArray,
    weights: FloatArray,
    prior: FloatArray,
    precision: float,
    bias_precision: float,
) -> tuple[float, FloatArray]:
    """The negative log-posterior at theta = (w, b), shape (dimension + 1,), and its gradient: written independently."""
    w, b = theta[:-1], theta[-1]
    z = rows @ w + b
    loss = np.where(z > 0, z + np.log1p(np.exp(-np.abs(z))), np.log1p(np.exp(-np.abs(z)))) - labels * z
    error = weights * (1 / (1 + np.exp(-np.clip(z, -700, 700))) - labels)
    value = precision / 2 * np.sum((w - prior) ** 2) + bias_precision / 2 * b * b + weights @ loss
    gradient = np.append(precision * (w - prior) + rows.T @ error, bias_precision * b + error.sum())
    return float(value), gradient


unit_interval = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
positive = st.sampled_from([0.0, 1.0]) | st.floats(0, 20)


@st.composite
def problems(draw: st.DrawFn) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float, float]:
    count = draw(st.integers(0, 9))
    rows = draw(arrays(np.float64, (count, DIMENSION), elements=st.floats(-1, 1)))
    if count > 2 and draw(st.booleans()):
        rows[1] = rows[0]  # the same document twice
    labels = draw(arrays(np.float64, count, elements=unit_interval))
    if draw(st.booleans()):
        labels = np.full(count, draw(st.sampled_from([0.0, 1.0])))  # one class only
    weights = draw(arrays(np.float64, count, elements=positive))
    prior = draw(arrays(np.float64, DIMENSION, elements=st.floats(-10, 10)))
    precision, bias_precision = draw(st.sampled_from([0.01, 0.3, 5.0])), draw(st.sampled_from([1e-4, 1e-3, 1.0]))
    return rows, labels, weights, prior, precision, bias_precision


@settings(max_examples=200)
@given(problem=problems())
@example(problem=(np.ones((4, DIMENSION)), np.array([1, 1, 0, 0.0]), np.ones(4), np.zeros(DIMENSION), 0.3, 1e-3))
@example(problem=(np.eye(DIMENSION), np.ones(DIMENSION), np.full(DIMENSION, 1e3), np.full(DIMENSION, -9.0), 0.01, 1e-4))
def test_the_gradient_vanishes_at_the_solution(
    problem: tuple[FloatArray, FloatArray, FloatArray, FloatArray, float, float],
) -> None:
    rows, labels, weights, prior, precision, bias_precision = problem
    found = fit_logistic(rows, labels, weights, prior, precision, bias_precision)
    theta = np.append(found.direction, found.offset)
    _, gradient = objective(theta, rows, labels, weights, prior, precision, bias_precision)
    assert np.abs(gradient).max() <= 1e-7 * (1 + weights.sum())


@settings(max_examples=40)
@given(problem=problems())
def test_scipy_finds_the_same_minimum(
    problem: tuple[FloatArray, FloatArray, FloatArray, FloatArray, float, float],
) -> None:
    from scipy.optimize import minimize

    rows, labels, weights, prior, precision, bias_precision = problem
    assume(bias_precision >= 1e-3)  # flatter still, and L-BFGS stops early
    found = fit_logistic(rows, labels, weights, prior, precision, bias_precision)
    arguments = (rows, labels, weights, prior, precision, bias_precision)
    reference = minimize(
        objective,
        np.append(prior, 0.0),
        args=arguments,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-9},
    )
    value, _ = objective(np.append(found.direction, found.offset), *arguments)
    assert value <= reference.fun + 1e-9 * (1 + abs(reference.fun))
    assert value == pytest.approx(reference.fun, rel=1e-5, abs=1e-5)


def examples(rows: FloatArray, relevance: list[float], weight: list[float] | None = None) -> Examples:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Examples(unit.astype(np.float32), np.array(relevance), np.array(weight or [1.0] * len(relevance)))


@pytest.fixture
def vectors() -> FloatArray:
    return np.random.default_rng(7).normal(size=(8, 32))


@pytest.fixture
def query() -> FloatArray:
    query = np.random.default_rng(8).normal(size=32)
    return query / np.linalg.norm(query)


def test_without_feedback_it_is_the_scaled_cosine_to_the_query(vectors: FloatArray, query: FloatArray) -> None:
    fitted = Probe(prior_scale=8.0, query_weight=0.5).fit(query.astype(np.float32), examples(vectors[:0], []))
    np.testing.assert_allclose(fitted.direction, 8 * query, atol=1e-6)
    assert fitted.offset == 0


def prior(probe: Probe, query: FloatArray, judged: Examples) -> FloatArray:
    """Where the classifier is before it has seen a label: with a prior so narrow that the labels cannot move it."""
    return replace(probe, precision=1e9).fit(query.astype(np.float32), judged).direction


def test_the_two_priors(vectors: FloatArray, query: FloatArray) -> None:
    judged = examples(vectors[:3], [1.0, 0.5, 0.0], [1.0, 2.0, 1.0])
    first, second = judged.vectors[:2].astype(np.float64)
    pooled = 16 * (0.5 * query + first + second) / 2.5
    np.testing.assert_allclose(prior(Probe(query_weight=0.5), query, judged), pooled, atol=1e-5)
    balanced = 16 * (0.5 * query + (first + second) / 2) / 1.5
    np.testing.assert_allclose(prior(Probe("balanced", query_weight=0.5), query, judged), balanced, atol=1e-5)


def test_the_priors_agree_for_one_relevant_document(vectors: FloatArray, query: FloatArray) -> None:
    judged = examples(vectors[:2], [1.0, 0.0])
    np.testing.assert_allclose(prior(Probe(), query, judged), prior(Probe("balanced"), query, judged), atol=1e-6)


def test_nothing_known_gives_nothing(vectors: FloatArray, query: FloatArray) -> None:
    silent = np.zeros(32, dtype=np.float32)
    for probe in (Probe(), Probe("balanced"), Probe(query_weight=0.0), Probe("balanced", query_weight=0.0)):
        assert not probe.fit(silent, examples(vectors[:0], [])).direction.any()


def test_feedback_moves_the_classifier_to_agree_with_it(vectors: FloatArray, query: FloatArray) -> None:
    judged = examples(vectors, [1, 1, 1, 1, 0, 0, 0, 0])
    scores = Probe().fit(query.astype(np.float32), judged).score(judged.vectors)
    assert scores[:4].min() > 0 > scores[4:].max()


def test_one_class_alone_gives_a_finite_classifier(vectors: FloatArray, query: FloatArray) -> None:
    for grade in (0.0, 1.0):
        fitted = Probe().fit(query.astype(np.float32), examples(vectors, [grade] * 8))
        assert np.isfinite(fitted.direction).all()
        assert abs(fitted.offset) < 100


def test_a_document_without_weight_says_nothing(vectors: FloatArray, query: FloatArray) -> None:
    told = Probe().fit(query.astype(np.float32), examples(vectors[:3], [1, 0, 1]))
    same = Probe().fit(query.astype(np.float32), examples(vectors[:5], [1, 0, 1, 1, 0], [1, 1, 1, 0, 0]))
    np.testing.assert_allclose(same.direction, told.direction, atol=1e-8)


def test_a_document_twice_is_a_document_of_twice_the_weight(vectors: FloatArray, query: FloatArray) -> None:
    rows = vectors[[0, 1, 1]]
    twice = fit_logistic(rows, np.array([1.0, 0, 0]), np.ones(3), query, 0.3, 1e-3)
    heavy = fit_logistic(vectors[:2], np.array([1.0, 0]), np.array([1.0, 2]), query, 0.3, 1e-3)
    np.testing.assert_allclose(twice.direction, heavy.direction, atol=1e-7)


def test_a_soft_label_lies_between_the_hard_ones(vectors: FloatArray, query: FloatArray) -> None:
    def logit(grade: float) -> float:
        judged = examples(vectors[:3], [1.0, 0.0, grade])
        return float(Probe().fit(query.astype(np.float32), judged).score(judged.vectors)[2])

    assert logit(0.0) < logit(0.3) < logit(0.7) < logit(1.0)


def test_a_hardly_weighted_click_changes_hardly_anything(vectors: FloatArray, query: FloatArray) -> None:
    alone = Probe().fit(query.astype(np.float32), examples(vectors[:0], []))
    clicked = Probe().fit(query.astype(np.float32), examples(vectors[:1], [1.0], [1e-6]))
    np.testing.assert_allclose(clicked.direction, alone.direction, atol=1e-4)

"""Tests, intervals and corrections against other implementations and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval.statistics import (
    EXACT,
    Statistics,
    bootstrap,
    compare,
    corrected,
    interval,
    paired_t,
    randomisation,
    wilcoxon,
)

RANDOM = np.random.default_rng(7)
DIFFERENCES = RANDOM.normal(0.05, 0.1, 40)
ONE = np.zeros(40, dtype=np.int64)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_paired_t_and_wilcoxon_are_scipys() -> None:
    mine, theirs = RANDOM.random(30), RANDOM.random(30)
    assert paired_t(mine - theirs) == pytest.approx(stats.ttest_rel(mine, theirs).pvalue)
    assert wilcoxon(mine - theirs) == pytest.approx(stats.wilcoxon(mine, theirs).pvalue)


def test_the_randomisation_test_is_exact_for_few_topics() -> None:
    differences = np.array([0.3, -0.1, 0.2, 0.4, 0.0, 0.1])
    patterns = [np.abs(np.dot(signs, differences)) for signs in itertools.product([1, -1], repeat=6)]
    expected = np.mean([value >= abs(differences.sum()) - 1e-9 for value in patterns])
    assert randomisation(differences[:, None], 100, generator())[0] == pytest.approx(expected)


def test_the_randomisation_test_agrees_with_scipy_for_many_topics() -> None:
    assert len(DIFFERENCES) > EXACT
    mine = randomisation(DIFFERENCES[:, None], 20_000, generator())[0]
    theirs = stats.permutation_test(
        (DIFFERENCES,), np.mean, permutation_type="samples", n_resamples=20_000, rng=generator()
    ).pvalue
    assert mine == pytest.approx(theirs, abs=0.004)


def test_columns_are_tested_as_if_they_were_alone() -> None:
    both = np.stack([DIFFERENCES, -3 * DIFFERENCES], axis=1)
    first, second = randomisation(both, 1_000, generator())
    assert first == second == randomisation(DIFFERENCES[:, None], 1_000, generator())[0]


def test_nothing_that_differs_has_a_p_of_one_and_no_p_is_zero() -> None:
    none, clear = np.zeros(30), np.full(30, 0.5)
    assert paired_t(none) == wilcoxon(none) == randomisation(none[:, None], 100, generator())[0] == 1.0
    assert randomisation(clear[:, None], 100, generator())[0] == pytest.approx(1 / 101)
    assert paired_t(clear) == 0.0
    assert paired_t(np.array([0.2])) == 1.0


@given(st.integers(1, 30), st.integers(0, 5))
def test_bootstrap_means_lie_within_the_values(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values, strata = random.random((count, 2)), random.integers(0, 3, count)
    means = bootstrap(values, random.random(count) + 0.1, strata, 50, random)
    assert means.shape == (50, 2)
    assert (means >= values.min(axis=0) - 1e-12).all()
    assert (means <= values.max(axis=0) + 1e-12).all()


def test_the_bootstrap_interval_agrees_with_scipys() -> None:
    means = bootstrap(DIFFERENCES[:, None], np.ones(40), ONE, 20_000, generator())[:, 0]
    theirs = stats.bootstrap((DIFFERENCES,), np.mean, method="percentile", rng=generator(), n_resamples=20_000)
    np.testing.assert_allclose(interval(means, 0.05), theirs.confidence_interval, atol=0.002)


def test_the_bootstrap_resamples_within_collections() -> None:
    """Two collections of constant value: nothing varies, however unequal they are in size."""
    values = np.array([1.0] * 3 + [0.0] * 30)[:, None]
    strata = np.array([0] * 3 + [1] * 30)
    weights = np.array([1 / 3] * 3 + [1 / 30] * 30)
    np.testing.assert_allclose(bootstrap(values, weights, strata, 50, generator()), 0.5)


@pytest.mark.parametrize("method", ["holm", "bonferroni"])
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrections_keep_order_and_never_help(method: str, p: list[float]) -> None:
    adjusted = corrected(p, method)  # type: ignore[arg-type]
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    assert (np.diff(np.array(adjusted)[np.argsort(p)]) >= 0).all()


def test_corrections_by_hand() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert corrected(p, "bonferroni") == pytest.approx([0.04, 0.16, 0.12, 0.02])
    assert corrected(p, "holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert corrected(p, "none") == p
    assert corrected([], "holm") == []


def test_holm_is_statsmodels_definition() -> None:
    """Reject exactly what Holm's sequential procedure rejects."""
    p = RANDOM.random(12) ** 3
    order, rejected = np.argsort(p), np.zeros(12, dtype=bool)
    for step, i in enumerate(order):
        if p[i] > 0.05 / (12 - step):
            break
        rejected[i] = True
    assert (np.array(corrected(p.tolist(), "holm")) <= 0.05).tolist() == rejected.tolist()


def test_a_comparison_counts_and_weighs() -> None:
    raw = np.array([[0.2, 0.0], [0.1, 0.0], [-0.3, 0.0], [0.0, 0.0]])
    first, second = compare(raw, np.array([3.0, 1.0, 1.0, 1.0]), np.zeros(4, dtype=np.int64), Statistics(resamples=500))
    assert (first.wins, first.ties, first.losses, first.topics) == (2, 1, 1, 4)
    assert first.difference == pytest.approx((3 * 0.2 + 0.1 - 0.3) / 6)
    assert first.low <= first.difference <= first.high
    scaled = raw[:, 0] * np.array([2.0, 2 / 3, 2 / 3, 2 / 3])
    assert first.effect == pytest.approx(scaled.mean() / scaled.std(ddof=1))
    assert (second.wins, second.ties, second.losses) == (0, 4, 0)
    assert second.p == {"randomisation": 1.0, "t": 1.0, "wilcoxon": 1.0}
    assert second.effect == 0.0


def test_the_deciding_test_can_be_chosen() -> None:
    raw = DIFFERENCES[:, None]
    for test in ("randomisation", "t", "wilcoxon"):
        (found,) = compare(raw, np.ones(40), ONE, Statistics(test=test, resamples=200))  # type: ignore[arg-type]
        assert found.corrected == found.p[test]

"""The bootstrap: over pages, of both halves of a ratio, and honest about what is not defined."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.log.bootstrap import Interval, bootstrap, refitted
from eval.log.estimators import Parts
from eval.log.labels import FloatArray
from index.errors import InputError


def test_whole_pages_are_resampled() -> None:
    """Rows that repeat within their page tell nothing new, and so the samples are the same as without them."""
    values = np.random.default_rng(12).normal(size=(2, 40))
    once = Parts(values[0], values[1], np.ones(40))
    thrice = Parts(*(np.repeat(column, 3) for column in (once.base, once.top, once.bottom)))
    alone = bootstrap({"x": once}, np.arange(40), 30, seed=0)["x"]
    repeated = bootstrap({"x": thrice}, np.repeat(np.arange(40), 3), 30, seed=0)["x"]
    assert repeated == pytest.approx(alone)
    as_rows = bootstrap({"x": thrice}, np.arange(120), 30, seed=0)["x"]
    assert as_rows.std() < 0.8 * alone.std()


def test_the_bootstrap_agrees_with_resampling_by_hand() -> None:
    random = np.random.default_rng(13)
    part = Parts(random.normal(size=25), random.normal(size=25), random.random(25))
    by_hand = []
    again = np.random.default_rng(0)
    for _ in range(20):
        chosen = again.integers(25, size=25)
        by_hand.append(part.base[chosen].mean() + part.top[chosen].sum() / part.bottom[chosen].sum())
    assert bootstrap({"x": part}, np.arange(25), 20, seed=0)["x"] == pytest.approx(np.array(by_hand))


def test_samples_without_any_weight_are_left_out_and_counted() -> None:
    weights = np.array([1.0, 0, 0, 0])
    drawn = bootstrap({"x": Parts(np.zeros(4), weights, weights)}, np.arange(4), 200, seed=0)["x"]
    assert 0 < np.isnan(drawn).sum() < 120
    assert Interval.of(1.0, drawn, 0.9) == Interval(1.0, 1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="No bootstrap sample"):
        Interval.of(1.0, np.array([math.nan]), 0.9)


def test_one_page_is_no_sample() -> None:
    ones: FloatArray = np.ones(5)
    with pytest.raises(InputError, match="one page"):
        bootstrap({"x": Parts(ones, ones, ones)}, np.zeros(5, dtype=np.int64), 10, seed=0)


def test_what_is_fitted_anew_sees_the_same_samples() -> None:
    values = np.random.default_rng(14).normal(size=30)
    part = Parts(np.zeros(30), values, np.ones(30))
    page = np.repeat(np.arange(10), 3)
    drawn = bootstrap({"x": part}, page, 15, seed=3)["x"]
    again = refitted(lambda counts: float(counts @ values / counts.sum()), page, 15, seed=3)
    assert again == pytest.approx(drawn)

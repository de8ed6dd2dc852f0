"""A test that may be looked at after every page: it seldom errs, however often one looks, and finds what is there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from ranking.clicks.sequential import SequentialTest


def after(outcomes: list[float]) -> SequentialTest:
    test = SequentialTest()
    test.extend(outcomes)
    return test


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_wealth_of_signs_is_the_beta_binomial_mixture(wins: int, losses: int) -> None:
    """Robbins' mixture in closed form: integral of (2p)^w (2 - 2p)^l over Beta(1/2, 1/2)."""
    closed = (wins + losses) * math.log(2) + betaln(wins + 0.5, losses + 0.5) - betaln(0.5, 0.5)
    assert after([1.0] * wins + [-1.0] * losses).log_wealth == pytest.approx(closed, abs=1e-9)


@pytest.mark.parametrize("kind", ["signs", "between"])
def test_equal_rankers_are_seldom_told_apart_however_often_one_looks(kind: str) -> None:
    random = np.random.default_rng(1)
    found = 0
    for _ in range(300):
        draws = random.choice([-1.0, 0.0, 1.0], 400) if kind == "signs" else random.uniform(-1, 1, 400)
        found += after(draws.tolist()).p_value <= 0.05
    assert found <= 0.05 * 300


def test_a_better_ranker_is_found() -> None:
    random = np.random.default_rng(2)
    test = after(random.choice([-1.0, 1.0], 1500, p=[0.42, 0.58]).tolist())
    assert test.p_value < 0.001
    low, high = test.interval()
    assert 0 < low < test.preference < high


def test_intervals_hold_the_mean_at_all_times_together() -> None:
    random = np.random.default_rng(3)
    missed = 0
    for _ in range(100):
        test, bad = SequentialTest(), False
        for draw in random.choice([-1.0, 1.0], 300, p=[0.3, 0.7]).tolist():
            test.add(draw)
            low, high = test.interval(0.9)
            bad |= not low <= 0.4 <= high
        missed += bad
    assert missed <= 10


def test_ties_are_counted_and_change_no_evidence() -> None:
    with_ties = after([1.0, 0.0, 1.0, 0.0, -1.0])
    assert (with_ties.pages, with_ties.wins, with_ties.losses) == (5, 2, 1)
    assert with_ties.p_value == after([1.0, 1.0, -1.0]).p_value
    assert with_ties.preference == pytest.approx(0.2)


def test_evidence_once_found_is_not_lost() -> None:
    test = after([1.0] * 20)
    found = test.p_value
    test.extend([-1.0] * 20)
    assert test.p_value == found < 0.001


def test_before_the_first_page_nothing_is_known() -> None:
    test = SequentialTest()
    assert (test.p_value, test.preference, test.interval()) == (1.0, 0.0, (-1.0, 1.0))


def test_other_outcomes_are_refused() -> None:
    with pytest.raises(ValueError, match="not in"):
        after([1.5])

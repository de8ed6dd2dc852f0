"""Whether a gain is confirmed: having looked at many choices to take the best is allowed for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from index.errors import InputError
from ranking.learning.judged import Gain, Topic, chance_of, folded, residual_ndcg


@given(st.integers(0, 999), st.integers(0, 3))
def test_what_nobody_saw_is_neither_good_nor_bad(seed: int, k: int) -> None:
    """A condensed topic's value is that of the collection which has nothing but its documents."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=60)
    seen = random.permutation(60)[:30]
    topic = Topic(np.zeros(2, np.float32), seen[:8], seen[8:], condensed=True)
    refused = topic.refused[:k]
    value = residual_ndcg(scores.copy(), topic, k, refused)
    unseen = np.setdiff1d(np.arange(60), seen)
    other = scores.copy()
    other[unseen] = random.normal(size=30) + 5
    assert residual_ndcg(other, topic, k, refused) == value
    other[unseen] = -np.inf
    assert residual_ndcg(other, replace(topic, condensed=False), k, refused) == pytest.approx(value)


@given(st.integers(16, 40), st.integers(1, 5), st.integers(0, 99))
def test_chance_is_the_share_of_all_signs(topics: int, choices: int, seed: int) -> None:
    """Whatever the scale of the gains, and whatever order the choices and the topics are in; less for a larger gain."""
    random = np.random.default_rng(seed)
    gains = random.normal(size=(choices, topics))
    best = int(np.argmax(gains.mean(axis=1)))
    chance = chance_of(gains, best)
    assert 0 < chance <= 1
    assert chance_of(7 * gains, best) == chance
    assert chance_of(gains[::-1], choices - 1 - best) == chance
    assert chance_of(np.vstack([gains, gains[best]]), best) == chance
    assert chance_of(np.vstack([gains, random.normal(size=(5, topics))]), best) >= chance
    assert chance_of(gains + 10.0, best) == pytest.approx(1 / 2001)


def test_chance_of_one_choice_is_that_of_a_paired_test() -> None:
    random = np.random.default_rng(0)
    for shift in (-0.1, 0.0, 0.1, 0.2):
        gains = random.normal(shift, 1.0, (1, 100))
        expected = scipy.stats.ttest_1samp(gains[0], 0.0, alternative="greater").pvalue
        assert chance_of(gains, 0) == pytest.approx(expected, abs=0.03)


def test_a_choice_that_loses_much_hides_no_clear_gain() -> None:
    random = np.random.default_rng(0)
    small, large = random.normal(0.02, 0.05, 40), random.normal(-0.3, 0.2, 40)
    assert chance_of(np.vstack([small, large]), 0) < 2 * chance_of(small[None], 0) < 0.05


def test_nothing_gained_is_not_confirmed() -> None:
    assert Gain.of(np.zeros(20), np.zeros((3, 20)), 0) == Gain(0.0, 0.0, 0.0, 20, 1.0)


def test_the_best_of_many_worthless_choices_is_no_gain() -> None:
    """Of sixteen choices that are all noise the best average looks like a gain. At 5 % ten of 200 draws are confirmed,
    more than twenty in one run of a thousand."""
    random = np.random.default_rng(0)
    confirmed = flattered = 0
    for _ in range(200):
        values = np.vstack([np.zeros(60), random.normal(size=(16, 60))])
        gain = Gain.of(values[0], values, int(np.argmax(values.mean(axis=1))))
        confirmed += gain.confirmed
        flattered += gain.learned > 1.645 * gain.error
    assert confirmed <= 20
    assert flattered > 60


def test_more_folds_than_topics() -> None:
    with pytest.raises(InputError, match="100 folds are more than the 40 topics"):
        folded(40, 100, 0)

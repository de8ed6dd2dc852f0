"""Simulated users click as their models say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.users import USERS, Cascade, DynamicBayesian, Judge, PositionBased, TrustBias, User, gains_of, generator

GAINS = np.array([0.0, 1.0, 0.0, 1.0, 1 / 3])
ROUNDS = 20_000


def rates(user: User) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.mean([user.clicks(GAINS, random) for _ in range(ROUNDS)], axis=0)


def test_position_based() -> None:
    expected = np.arange(1.0, 6.0) ** -0.5 * (0.1 + 0.7 * GAINS)
    np.testing.assert_allclose(rates(PositionBased(eta=0.5, noise=0.1, misses=0.2)), expected, atol=0.012)


def test_cascade() -> None:
    attraction = 0.1 + 0.8 * GAINS
    expected = attraction * np.concatenate([[1.0], np.cumprod(1 - attraction)[:-1]])
    np.testing.assert_allclose(rates(Cascade()), expected, atol=0.012)


def test_dynamic_bayesian() -> None:
    attraction = 0.1 + 0.8 * GAINS
    goes_on = 0.9 * (1 - attraction * 0.5 * GAINS)
    expected = attraction * np.concatenate([[1.0], np.cumprod(goes_on)[:-1]])
    np.testing.assert_allclose(rates(DynamicBayesian()), expected, atol=0.012)


def test_trust_bias() -> None:
    ranks = np.arange(1.0, 6.0)
    expected = (GAINS * 0.9 + (1 - GAINS) * (0.1 + 0.3 / ranks)) / ranks
    np.testing.assert_allclose(rates(TrustBias()), expected, atol=0.012)


def test_without_noise_trust_and_bias_the_models_are_the_judge() -> None:
    gains, random = np.array([0.0, 1.0, 1.0, 0.0]), np.random.default_rng(0)
    judged = Judge().clicks(gains, random).tolist()
    assert PositionBased(eta=0.0, noise=0.0, misses=0.0).clicks(gains, random).tolist() == judged
    assert TrustBias(eta=0.0, noise=0.0, misses=0.0, trust=0.0).clicks(gains, random).tolist() == judged
    patient = DynamicBayesian(continuation=1.0, satisfaction=0.0, noise=0.0, misses=0.0)
    assert patient.clicks(gains, random).tolist() == judged
    assert Cascade(noise=0.0, misses=0.0).clicks(gains, random).tolist() == [False, True, False, False]


@pytest.mark.parametrize("model", sorted(USERS))
@given(st.lists(st.floats(0, 1), max_size=12), st.integers(0, 3))
def test_every_user_answers_for_every_page_and_can_be_repeated(model: str, gains: list[float], seed: int) -> None:
    user = USERS[model]()
    first, second = (user.clicks(np.array(gains), generator(seed, "t")) for _ in range(2))
    assert first.shape == (len(gains),)
    assert first.dtype == np.bool_
    np.testing.assert_array_equal(first, second)


def test_gains_are_exponential_in_the_grade() -> None:
    np.testing.assert_allclose(gains_of(np.array([0, 1, 2, 3]), 3), [0, 1 / 7, 3 / 7, 1])
    np.testing.assert_allclose(gains_of(np.array([0, 1]), 1), [0, 1])


def test_generators_differ_by_their_parts() -> None:
    assert generator(0, "a").random() == generator(0, "a").random()
    assert len({generator(*parts).random() for parts in [(0, "a"), (0, "b"), (1, "a"), (0, "a", 1)]}) == 4

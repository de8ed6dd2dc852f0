"""Exploration: what is said about the probability of a page is exactly true."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import InputError
from ranking.clicks.exploration import (
    SAMPLED,
    PlackettLuce,
    Policy,
    Shuffle,
    Swap,
    parse_policy,
    plackett_luce,
    reordered,
    share_of,
)
from ranking.clicks.propensity import Options, estimate
from ranking.clicks.propensity.randomised import exchanged
from tests.ranking.clicks.clicking import CURVE, World

policies = st.one_of(
    st.builds(Shuffle, st.integers(2, 6)),
    st.builds(Swap, st.integers(2, 6), st.booleans()),
    st.builds(PlackettLuce, st.floats(0.1, 20), st.integers(2, 6)),
)


@settings(max_examples=60, deadline=None)
@given(policies, st.integers(0, 8), st.text(max_size=5))
def test_a_page_is_a_permutation_with_its_probabilities(policy: Policy, length: int, seed: str) -> None:
    page = policy.explore(length, seed)
    assert sorted(page.order) == list(range(length))
    assert page == policy.explore(length, seed)
    places = policy.places(length)
    assert page.propensities == pytest.approx([places[document, place] for place, document in enumerate(page.order)])
    assert all(0 < chance <= 1 for chance in page.propensities)
    assert places.sum(axis=0) == pytest.approx(np.ones(length))
    assert places.sum(axis=1) == pytest.approx(np.ones(length))


@pytest.mark.parametrize(
    "policy", [Shuffle(4), Swap(5), Swap(5, first=True), PlackettLuce(0.5, 5), PlackettLuce(3.0, 4)]
)
def test_probabilities_are_the_frequencies_of_many_pages(policy: Policy) -> None:
    pages, length = 3000, 6
    seen = np.zeros((length, length))
    for number in range(pages):
        seen[policy.explore(length, str(number)).order, np.arange(length)] += 1
    expected = policy.places(length)
    error = np.sqrt(expected * (1 - expected) / pages)
    assert (np.abs(seen / pages - expected) <= 5 * error + 1e-12).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=5))
def test_plackett_luce_is_the_sum_over_all_orders(log_weights: list[float]) -> None:
    n, weights = len(log_weights), np.exp(log_weights)
    expected = np.zeros((n, n))
    for order in itertools.permutations(range(n)):
        chance = math.prod(weights[order[k]] / weights[list(order[k:])].sum() for k in range(n))
        for place, document in enumerate(order):
            expected[document, place] += chance
    assert plackett_luce(tuple(log_weights)) == pytest.approx(expected, rel=1e-9)


def test_plackett_luce_keeps_probabilities_above_0_at_its_limits() -> None:
    places = PlackettLuce(0.05, SAMPLED).places(SAMPLED)
    assert (places > 0).all()
    assert PlackettLuce(100, 4).places(4) == pytest.approx(np.full((4, 4), 0.25), abs=0.01)
    with pytest.raises(InputError, match="too many"):
        plackett_luce((0.0,) * (SAMPLED + 1))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("shuffle:5", Shuffle(5)),
        ("adjacent:10", Swap(10)),
        ("pair:3", Swap(3, first=True)),
        ("plackett-luce:0.5", PlackettLuce(0.5, 10)),
        ("plackett-luce:2:12", PlackettLuce(2.0, 12)),
    ],
)
def test_policies_have_names(text: str, policy: Policy) -> None:
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    "text",
    ["", "shuffle", "shuffle:1", "shuffle:x", "shuffle:²", "shuffle:5:5", "pair:101", "plackett-luce:0", "best:3",
     "plackett-luce:nan", "plackett-luce:1:13", "plackett-luce"],
)  # fmt: skip
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="no exploration policy"):
        parse_policy(text)


def test_arms_say_what_was_exchanged() -> None:
    assert exchanged(Shuffle(5).explore(3, "a").arm) == (1, 2, 3)
    drawn = {Swap(4).explore(10, str(n)).arm for n in range(100)}
    assert {exchanged(arm) for arm in drawn} == {(1, 2), (2, 3), (3, 4)}
    drawn = {Swap(4, first=True).explore(10, str(n)).arm for n in range(100)}
    assert {exchanged(arm) for arm in drawn} == {(1, 2), (1, 3), (1, 4)}
    assert exchanged(PlackettLuce(1.0).explore(5, "a").arm) == ()
    assert [policy.explore(1, "a").arm for policy in (Shuffle(5), Swap(5), PlackettLuce(1.0))] == ["", "", ""]
    for odd in ("shuffle", "shuffle:x", "pair:3:1", "pair:0:2", "v2", ""):
        assert exchanged(odd) == ()


def test_sessions_are_spread_evenly_and_independently() -> None:
    places = np.array([[share_of(str(n), salt) for n in range(4000)] for salt in ("a", "b")])
    assert share_of("x", "a") == share_of("x", "a")
    assert np.histogram(places[0], 10, (0, 1))[0] == pytest.approx(np.full(10, 400), abs=100)
    assert abs(np.corrcoef(places)[0, 1]) < 0.06


def test_what_is_not_on_the_page_stays() -> None:
    assert reordered(["a", "b", "c", "d"], (1, 0)) == ["b", "a", "c", "d"]


@pytest.mark.parametrize(
    ("policy", "method"),
    [(Shuffle(5), "randomised"), (Swap(5), "randomised"), (Swap(5, True), "randomised"), (PlackettLuce(2.0), "logged")],
)
def test_what_a_policy_logs_gives_the_curve(policy: Policy, method: str) -> None:
    """Most queries come once: the randomisation alone has to tell."""
    world = World(31, queries=20_000)
    pages = 20_000
    query = world.draw(pages)
    ranked = world.top(world.scores(), query)
    explored = [policy.explore(5, str(number)) for number in range(pages)]
    names = sorted({page.arm for page in explored})
    documents = np.take_along_axis(ranked, np.array([page.order for page in explored]), axis=1)
    log = world.shown(query, documents, [names.index(page.arm) for page in explored], tuple(names))
    propensities = np.array([page.propensities for page in explored])
    found = estimate([(log, propensities)], "auto", Options(resamples=0))
    assert found.method == method
    assert np.array(found.curves[0].propensity) == pytest.approx(CURVE, abs=0.07)

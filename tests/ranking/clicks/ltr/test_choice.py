"""Debiasing is switched on where it wins on shuffled pages, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from index.errors import InputError
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.choice import check_shuffled, choose, compare, sign_flips
from ranking.clicks.ltr.features import Features, Judged
from ranking.clicks.ltr.fit import Recipe
from ranking.clicks.ltr.simulation import AffinePeople, position_bias, simulate
from ranking.clicks.ltr.training import Options
from ranking.clicks.sessions import Sessions
from tests.ranking.clicks.ltr.made import clicked, judged

RECIPE = Recipe("ipw-listwise", kind="linear", options=Options(epochs=12, batch=512, rate=0.03))


def adversary(queries: int = 60, documents: int = 6) -> tuple[Judged, np.ndarray, np.ndarray]:
    """A production ranker that goes by the second of two features, and people for whom only the first one counts."""
    random = np.random.default_rng(0)
    matrix = random.normal(size=(queries * documents, 2)).astype(np.float32)
    attraction = 1 / (1 + np.exp(2.0 - 2.5 * matrix[:, 0]))
    query = np.repeat(np.arange(queries), documents).astype(np.int32)
    names = tuple(str(row) for row in range(len(matrix)))
    features = Features(matrix, query, tuple(map(str, range(queries))), names)
    # The order changes from page to page of a query only with the query: the bias follows the second feature.
    return Judged(features, np.zeros(len(matrix), dtype=np.float32)), matrix[:, 1].astype(float), attraction


def test_debiasing_is_switched_on_where_the_bias_is_strong() -> None:
    data, scores, attraction = adversary()
    steep = position_bias(6, eta=2.5)
    people, random = AffinePeople(steep), np.random.default_rng(1)
    log = simulate(data.features, scores, attraction, people, 6000, random, ranks=6)
    traffic = simulate(data.features, scores, attraction, people, 3000, random, ranks=6, shuffled=True)
    chosen = choose(data.features.matrix, log, replace(RECIPE, clip=100.0), traffic, steep)
    assert chosen.verdict is not None
    assert chosen.verdict.switch, chosen.verdict
    assert chosen.fitted is chosen.debiased
    assert chosen.verdict.p < 0.05
    assert chosen.verdict.low > 0
    # The same ranker the other way round loses as clearly.
    reverse = compare(traffic, chosen.debiased.scores, chosen.naive.scores)
    assert not reverse.switch
    assert reverse.p < 0.05
    assert "no better" in reverse.reason


def test_debiasing_stays_off_where_there_is_no_bias() -> None:
    data, even = judged(), Bias.of(np.full(6, 0.7))
    log, traffic = clicked(data, even, 2000), clicked(data, even, 2000, seed=9, shuffled=True)
    chosen = choose(data.features.matrix, log, replace(RECIPE, objective="dla"), traffic)
    assert chosen.verdict is not None
    assert not chosen.verdict.switch, chosen.verdict
    assert chosen.fitted is chosen.naive


def test_without_shuffled_pages_the_naive_ranker_stays() -> None:
    data = judged()
    log = clicked(data, position_bias(6), 300)
    quick = replace(RECIPE, objective="dla", options=Options(epochs=1))
    chosen = choose(data.features.matrix, log, quick, None)
    assert chosen.verdict is None
    assert chosen.fitted is chosen.naive
    with pytest.raises(InputError, match="not shuffled"):
        choose(data.features.matrix, log, quick, log)


def test_chance_alone_rarely_switches() -> None:
    """Of rankers that are equally good, about one in 40 may switch at level .05; more than 12 of 100 is a fault."""
    data, random = judged(queries=30), np.random.default_rng(3)
    traffic = clicked(data, position_bias(6), 400, shuffled=True)
    noise = random.normal(size=(100, 2, len(data.features)))
    switched = sum(compare(traffic, one, two, resamples=500).switch for one, two in noise)
    assert switched <= 12


def test_identical_rankers_never_differ() -> None:
    data = judged()
    traffic = clicked(data, position_bias(6), 200, shuffled=True)
    verdict = compare(traffic, data.grades.astype(float), data.grades.astype(float))
    assert (verdict.difference, verdict.p, verdict.switch) == (0.0, 1.0, False)


def test_shuffled_clicks_order_rankers_as_relevance_does() -> None:
    data = judged()
    traffic = clicked(data, position_bias(6, eta=2.0), 4000, shuffled=True)
    good, bad = data.grades.astype(float), np.random.default_rng(0).random(len(data.grades))
    verdict = compare(traffic, bad, good)
    assert verdict.switch
    assert verdict.naive < verdict.debiased <= 1


def test_sign_flips_are_exact_for_few_queries() -> None:
    random = np.random.default_rng(0)
    assert sign_flips(np.array([1.0, 2.0, 3.0]), 10, random) == pytest.approx(2 / 8)
    assert sign_flips(np.array([1.0, 2.0, -3.0, 0.0]), 10, random) == 1.0
    assert sign_flips(np.zeros(5), 10, random) == 1.0
    assert sign_flips(np.ones(20), 999, random) == pytest.approx(1 / 1000, abs=2e-3)


def test_pages_that_never_move_are_not_shuffled() -> None:
    fixed = Sessions.of(np.tile([[0, 1, 2]], (10, 1)), np.zeros((10, 3)))
    with pytest.raises(InputError, match="not shuffled"):
        check_shuffled(fixed)
    with pytest.raises(InputError, match="no click"):
        compare(Sessions.of([[0, 1], [1, 0]], np.zeros((2, 2))), np.zeros(2), np.ones(2))

"""Propensities: every estimator finds a curve that is known, and none answers where the log cannot tell."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from index.errors import InputError, NotFoundError
from ranking.clicks.propensity import (
    Curve,
    NotIdentifiedError,
    Options,
    Propensities,
    estimate,
    identify,
)
from ranking.clicks.propensity.blocks import Blocks, solve
from ranking.clicks.propensity.counts import GROUPS, count, group_of, pooled
from ranking.clicks.propensity.em import EM
from ranking.clicks.propensity.harvest import harvest
from ranking.clicks.sessions import Sessions
from tests.ranking.clicks.clicking import CURVE, Change, World

QUICK = Options(resamples=0)
Array = npt.NDArray[np.float64]


def values(found: Propensities) -> Array:
    return np.array(found.curves[0].propensity)


# --- recovery of a known curve


def test_harvesting_finds_the_curve_of_rankers_that_disagree() -> None:
    found = estimate(World(1).rankers(40_000), "harvest", QUICK)
    assert values(found) == pytest.approx(CURVE, abs=0.02)
    assert values(found)[0] == 1


@pytest.mark.parametrize("options", [Options(resamples=0, weighting="pair"), Options(resamples=0, between=True)])
def test_both_weightings_and_comparisons_between_arms_find_it(options: Options) -> None:
    assert values(estimate(World(2).rankers(40_000), "harvest", options)) == pytest.approx(CURVE, abs=0.025)


def test_em_finds_the_curve() -> None:
    found = estimate(World(3).rankers(40_000), "em", QUICK)
    assert values(found) == pytest.approx(CURVE, abs=0.025)
    assert found.curves[0].warnings == ()


def test_em_says_where_it_is_biased() -> None:
    found = estimate(World(3, queries=3000).rankers(20_000), "em", QUICK)
    assert any("prefer harvest" in line for line in found.curves[0].warnings)


def test_regression_em_finds_the_curve_without_one_shared_pair() -> None:
    """Every page is of its own query, and features alone connect the ranks."""
    world = World(4, queries=20_000, documents=5)
    logit = np.log(world.relevance / (1 - world.relevance)).ravel()
    features = np.column_stack([logit, world.random.normal(size=len(logit))])
    query = np.arange(20_000)
    log = world.shown(query, np.argsort(-world.scores(1.0), axis=1)[:, :5])
    assert not identify(log).connected
    found = estimate(log, "regression-em", Options(features=features, resamples=0))
    assert values(found) == pytest.approx(CURVE, abs=0.03)


def test_regression_em_refuses_features_that_give_the_rank_away() -> None:
    world = World(5, queries=2000, documents=5)
    order = np.argsort(-world.scores(1.0), axis=1)
    ranks = np.argsort(order, axis=1).ravel()
    log = world.shown(np.arange(2000), order)
    with pytest.raises(NotIdentifiedError, match="features tell at which rank"):
        estimate(log, "regression-em", Options(features=np.eye(5)[ranks], resamples=0))


def shuffle(random: np.random.Generator, n: int) -> Change:
    def change(documents: npt.NDArray[np.int64], arm: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        changed = documents.copy()
        changed[:, :n] = random.permuted(documents[:, :n], axis=1)
        return changed

    return change


def swap(random: np.random.Generator, pairs: list[tuple[int, int]]) -> Change:
    def change(documents: npt.NDArray[np.int64], arm: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        changed = documents.copy()
        low, high = np.array(pairs).T[:, arm]
        rows = np.flatnonzero(random.random(len(documents)) < 0.5)
        changed[rows, low[rows]], changed[rows, high[rows]] = documents[rows, high[rows]], documents[rows, low[rows]]
        return changed

    return change


def test_a_shuffle_of_the_top_finds_the_curve() -> None:
    world = World(6)
    log = world.exchanged(30_000, shuffle(world.random, 5), ("shuffle:5",))
    found = estimate(log, "randomised", QUICK)
    assert values(found) == pytest.approx(CURVE, abs=0.02)
    clicks = log.clicks.mean(axis=0)
    assert values(found) == pytest.approx(clicks / clicks[0], rel=1e-5)  # one block: ratios of click rates


@pytest.mark.parametrize(
    ("pairs", "kind"), [([(0, 1), (1, 2), (2, 3), (3, 4)], "adjacent"), ([(0, k) for k in range(1, 5)], "pair")]
)
def test_swaps_find_the_curve_where_every_query_comes_once(pairs: list[tuple[int, int]], kind: str) -> None:
    world = World(7, queries=60_000)
    arms = tuple(f"{kind}:{low + 1}:{high + 1}" for low, high in pairs)
    log = world.exchanged(60_000, swap(world.random, pairs), arms)
    found = estimate(log, "auto", QUICK)
    assert found.method == "randomised"
    assert values(found) == pytest.approx(CURVE, abs=0.04)


def test_a_design_can_be_named_for_an_arm_of_any_name() -> None:
    world = World(8)
    log = world.exchanged(10_000, shuffle(world.random, 3), ("test-b",))
    with pytest.raises(InputError, match="no randomised pages"):
        estimate(log, "randomised", QUICK)
    found = estimate(log, "randomised", Options(ranks=3, designs={"test-b": (1, 2, 3)}, resamples=0))
    assert values(found) == pytest.approx(CURVE[:3], abs=0.03)


def test_short_pages_are_blocks_of_their_own() -> None:
    """Queries with few documents are better here: click rates by rank, over all pages, would find a wrong curve."""
    world = World(9, queries=50)
    long = world.exchanged(30_000, shuffle(world.random, 5), ("shuffle:5",))
    world.relevance[:] = 0.9
    short = world.exchanged(30_000, shuffle(world.random, 2), ("shuffle:5",))
    pair, clicks = short.pair.copy(), short.clicks.copy()
    pair[:, 2:], clicks[:, 2:] = -1, False
    both = Sessions.of(
        np.concatenate([long.pair, pair]), np.concatenate([long.clicks, clicks]), arms=("shuffle:5",)
    )  # fmt: skip
    found = estimate(both, "randomised", QUICK)
    assert values(found) == pytest.approx(CURVE, abs=0.02)
    naive = both.clicks.sum(axis=0) / both.shown.sum(axis=0)
    assert (naive / naive[0])[3] < 0.25


def test_logged_probabilities_find_the_curve() -> None:
    """Plackett-Luce pages: what is relevant comes first, and inverse probabilities take that back."""
    world = World(10, queries=20, documents=4, theta=CURVE[:4])
    weights = np.exp(2 * world.relevance)
    places = np.zeros((20, 4, 4))  # query, document, rank
    for query, order in itertools.product(range(20), itertools.permutations(range(4))):
        chance, left = 1.0, weights[query].sum()
        for document in order:
            chance *= weights[query, document] / left
            left -= weights[query, document]
        for rank, document in enumerate(order):
            places[query, document, rank] += chance
    query = world.draw(40_000)
    keys = np.log(weights)[query] + world.random.gumbel(size=(40_000, 4))
    documents = np.argsort(-keys, axis=1)
    log = world.shown(query, documents)
    propensities = places[query[:, None], documents, np.arange(4)]
    found = estimate([(log, propensities)], "logged", Options(resamples=50))
    assert values(found) == pytest.approx(CURVE[:4], abs=0.03)
    assert found.curves[0].counts["clipped"] == 0
    naive = log.clicks.mean(axis=0)
    assert abs(naive[3] / naive[0] - CURVE[3]) > 0.05


def test_cutting_logged_weights_binds() -> None:
    world = World(11, queries=20, documents=4, theta=CURVE[:4])
    log = world.one_ranker(500)
    propensities = np.tile([0.5, 0.1, 0.01, 0.001], (500, 1))
    whole = estimate([(log, propensities)], "logged", Options(resamples=0, clip=1000.0)).curves[0].counts
    cut = estimate([(log, propensities)], "logged", Options(resamples=0, clip=10.0)).curves[0].counts
    assert whole["clipped"] == 0
    assert cut["clipped"] == 1000
    assert cut["effective"] > whole["effective"]


def test_what_was_not_randomised_weighs_nothing() -> None:
    world = World(12, queries=20, documents=4, theta=CURVE[:4])
    log = world.one_ranker(300)
    with pytest.raises(InputError, match="no pages with propensities"):
        estimate([(log, np.ones((300, 4)))], "logged", QUICK)


@pytest.mark.parametrize("bad", [0.0, -0.5, 1.5])
def test_logged_values_that_are_no_probabilities_are_refused(bad: float) -> None:
    log = World(12, queries=20).one_ranker(10)
    with pytest.raises(InputError, match="not a probability"):
        estimate([(log, np.full(log.pair.shape, bad))], "logged", QUICK)


def test_each_surface_has_a_curve() -> None:
    world = World(13)
    scores = [world.scores(), world.scores()]
    parts = []
    for code, theta in enumerate((CURVE, CURVE**2)):
        query, arm = world.draw(30_000), world.random.integers(2, size=30_000)
        documents = np.where(arm[:, None] == 0, world.top(scores[0], query), world.top(scores[1], query))
        surface = np.full(30_000, code)
        parts.append(world.shown(query, documents, arm, ("a", "b"), surface, ("desk", "phone"), theta))
    found = estimate(parts, "harvest", Options(by_surface=True, resamples=0))
    assert found.surfaces == ("desk", "phone")
    assert found.at([1, 2, 3, 4, 5], "desk") == pytest.approx(CURVE, abs=0.04)
    assert found.at([1, 2, 3, 4, 5], "phone") == pytest.approx(CURVE**2, abs=0.04)
    with pytest.raises(NotFoundError, match="'tablet'"):
        found.at([1], "tablet")


def test_each_surface_has_a_curve_from_randomised_pages() -> None:
    world, parts = World(32), []
    for code, theta in enumerate((CURVE, CURVE**2)):
        query = world.draw(30_000)
        documents = shuffle(world.random, 5)(world.top(world.scores(), query), query)
        surface = np.full(30_000, code)
        parts.append(world.shown(query, documents, None, ("shuffle:5",), surface, ("desk", "phone"), theta))
    for method, options in (("randomised", {}), ("logged", {"ranks": 5})):
        batches = [(part, np.full(part.pair.shape, 0.2)) for part in parts]
        found = estimate(batches, method, Options(by_surface=True, resamples=0, **options))  # type: ignore[arg-type]
        assert found.at([1, 2, 3, 4, 5], "desk") == pytest.approx(CURVE, abs=0.03)
        assert found.at([1, 2, 3, 4, 5], "phone") == pytest.approx(CURVE**2, abs=0.03)


def test_auto_harvests_where_too_few_pages_were_randomised() -> None:
    world = World(33)
    many, few = world.rankers(20_000), world.exchanged(200, shuffle(world.random, 5), ("shuffle:5",))
    assert estimate(few, "auto", QUICK).method == "harvest"
    both = [
        Sessions.of(part.pair, part.clicks, part.query, arm=np.full(len(part), code), arms=("v1", "shuffle:5"))
        for code, part in enumerate((many, few))
    ]
    found = estimate(both, "auto", QUICK)
    assert found.method == "harvest"
    assert values(found) == pytest.approx(CURVE, abs=0.03)
    assert any("Fewer than 100" in line for line in estimate(both, "randomised", QUICK).curves[0].warnings)


def test_what_feedback_has_ranked_anew_is_left_out() -> None:
    """The second round shows first what was clicked in the first: at rank 1 more people click on it, by selection."""
    world = World(34, queries=4000)
    first = world.rankers(20_000, versions=2)
    order = np.argsort(~first.clicks, axis=1, kind="stable")
    documents = np.take_along_axis(first.pair, order, axis=1) - first.query[:, None] * world.documents
    second = world.shown(first.query, documents, np.full(20_000, 2), ("v0", "v1", "round:2"))
    first = Sessions.of(first.pair, first.clicks, first.query, arm=first.arm, arms=second.arms)
    alone = estimate(first, "harvest", QUICK)
    assert estimate([first, second], "harvest", QUICK) == alone
    assert values(alone) == pytest.approx(CURVE, abs=0.05)


# --- the likelihood


def brute_force(blocks: list[dict[int, tuple[float, float]]], ranks: int) -> Array:
    """The maximum over theta and every block's r together, by another optimiser and another parametrisation."""

    def loss(x: Array) -> float:
        log_theta, log_r = np.concatenate(([0.0], x[: ranks - 1])), x[ranks - 1 :]
        total = 0.0
        for block, r in zip(blocks, log_r, strict=True):
            for rank, (clicks, skips) in block.items():
                chance = min(float(np.exp(log_theta[rank] + r)), 1 - 1e-9)
                total -= clicks * np.log(chance) + skips * np.log1p(-chance)
        return total

    start = np.concatenate([np.zeros(ranks - 1), np.full(len(blocks), -2.0)])
    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 40_000, "maxfev": 40_000, "xatol": 1e-9, "fatol": 1e-12, "adaptive": True})  # fmt: skip  # noqa: E501
    return np.exp(np.concatenate(([0.0], found.x[: ranks - 1])))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(5, 60), st.integers(40, 200)), min_size=6, max_size=6))
def test_all_pairs_is_the_maximum_of_its_likelihood(cells: list[tuple[int, int]]) -> None:
    counts = iter(cells)
    blocks = [{low: next(counts), high: next(counts)} for low, high in ((0, 1), (0, 2), (1, 2))]
    block = np.array([b for b, part in enumerate(blocks) for _ in part])
    rank = np.array([r for part in blocks for r in part])
    clicks, skips = np.array([part[r] for part in blocks for r in part], dtype=float).T
    assert solve(block, rank, clicks, skips, 3) == pytest.approx(brute_force(blocks, 3), rel=2e-3)


def test_all_pairs_has_one_parameter_per_unordered_pair_of_ranks() -> None:
    """Products of ranks would meet: 1 x 6 = 2 x 3."""
    log = World(14, documents=12, theta=np.linspace(1, 0.3, 7)).rankers(3000)
    blocks = harvest(count(log), weighting="pair")
    by_block: dict[int, set[int]] = {}
    for block, rank in zip(blocks.block.tolist(), blocks.rank.tolist(), strict=True):
        by_block.setdefault(block, set()).add(rank)
    assert sorted(map(sorted, by_block.values())) == [list(pair) for pair in itertools.combinations(range(7), 2)]


@pytest.mark.parametrize("weighting", ["pair", "overlap"])
def test_the_counts_of_harvesting_are_those_of_its_definition(weighting: str) -> None:
    log = World(15, queries=6, documents=6, theta=CURVE[:4]).rankers(200)
    blocks = harvest(count(log), weighting=weighting)  # type: ignore[arg-type]
    shown, clicked = np.zeros((36, 4)), np.zeros((36, 4))
    for pairs, clicks in zip(log.pair, log.clicks, strict=True):
        for rank in range(4):
            shown[pairs[rank], rank] += 1
            clicked[pairs[rank], rank] += clicks[rank]
    expected: dict[tuple[int, int], list[float]] = {}
    for pair, k, other in itertools.product(range(36), range(4), range(4)):
        n, m = shown[pair, k], shown[pair, other]
        if k != other and n and m:
            weight = n * m / (n + m) if weighting == "overlap" else 1.0
            sums = expected.setdefault((k, other), [0.0, 0.0])
            sums[0] += weight * clicked[pair, k] / n
            sums[1] += weight * (1 - clicked[pair, k] / n)
    found = {
        (rank, sum(blocks.rank[blocks.block == block].tolist()) - rank): [c, s]
        for block, rank, c, s in zip(
            blocks.block.tolist(), blocks.rank.tolist(), blocks.clicks.sum(0), blocks.skips.sum(0), strict=True
        )
    }
    assert set(found) == set(expected)
    for key, sums in expected.items():
        assert found[key] == pytest.approx(sums)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=2, max_size=6))
def test_one_block_is_solved_in_closed_form(cells: list[tuple[int, int]]) -> None:
    clicks, skips = np.array(cells, dtype=float).T
    rates = clicks / (clicks + skips)
    n = len(cells)
    found = solve(np.zeros(n, dtype=np.int64), np.arange(n), clicks, skips, n)
    assert found == pytest.approx(rates / rates[0], rel=1e-4)


def test_ranks_without_a_chain_of_clicks_have_no_value() -> None:
    block, rank = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])
    found = solve(block, rank, np.array([5.0, 3.0, 4.0, 4.0]), np.full(4, 10.0), 4)
    assert np.isfinite(found).tolist() == [True, True, False, False]
    found = solve(block, rank, np.array([5.0, 0.0, 4.0, 4.0]), np.full(4, 10.0), 4)
    assert found[1] == 0


def test_weights_of_groups_are_repetitions() -> None:
    log = World(16, queries=30).rankers(2000)
    blocks = harvest(count(log))
    twice = Blocks(blocks.block, blocks.rank, 2 * blocks.clicks, 2 * blocks.skips)
    assert twice.solve() == pytest.approx(blocks.solve(), rel=1e-6)
    assert blocks.solve(np.full(len(blocks.clicks), 3.0)) == pytest.approx(blocks.solve(), rel=1e-6)


def test_em_climbs_the_likelihood() -> None:
    log = World(17, queries=20).rankers(3000)
    counts = pooled(count(log))

    def likelihood(iterations: int) -> float:
        fit = EM(iterations=iterations, tolerance=0.0).fit(counts)
        alpha = fit.relevance[np.unique(counts.pair, return_inverse=True)[1]]
        # theta is given with theta_1 = 1, so the factor between both is free: the best one.
        best = -np.inf
        for scale in np.linspace(0.5, 1.0, 101):
            chance = np.clip(scale * fit.theta[counts.rank] * alpha, 1e-12, 1 - 1e-12)
            value = counts.clicks * np.log(chance) + (counts.shown - counts.clicks) * np.log1p(-chance)
            best = max(best, float(value.sum()))
        return best

    climbed = [likelihood(n) for n in (1, 5, 20, 100)]
    assert climbed == sorted(climbed)


# --- what is counted


def test_batches_count_as_one_log() -> None:
    log = World(18, queries=40).rankers(1500)
    whole, parts = count(log), count(log.batches(101))
    for name in ("pair", "rank", "arm", "surface", "group", "shown", "clicks", "pages"):
        assert getattr(whole, name).tolist() == getattr(parts, name).tolist()
    assert whole.shown.sum() == log.shown.sum()
    assert whole.clicks.sum() == log.clicks.sum()


def test_page_weights_count_as_repetitions() -> None:
    log = World(19, queries=20).rankers(500)
    heavy = Sessions.of(log.pair, log.clicks, log.query, np.full(500, 2.0), None, log.arm, arms=log.arms)
    double = Sessions.of(np.tile(log.pair, (2, 1)), np.tile(log.clicks, (2, 1)), np.tile(log.query, 2),
                         arm=np.tile(log.arm, 2), arms=log.arms)  # fmt: skip
    assert values(estimate(heavy, "harvest", QUICK)) == pytest.approx(values(estimate(double, "harvest", QUICK)))


def test_groups_of_queries_are_even() -> None:
    sizes = np.bincount(group_of(np.arange(100 * GROUPS)), minlength=GROUPS)
    assert sizes.min() > 60
    assert sizes.max() < 150


# --- identifiability


def test_one_fixed_ranking_per_query_is_refused() -> None:
    log = World(20).one_ranker(5000)
    report = identify(log)
    assert report.components == ((1,), (2,), (3,), (4,), (5,))
    assert report.identified == 1
    assert not report.connected
    for method in ("harvest", "em", "auto"):
        with pytest.raises(NotIdentifiedError, match="nothing connects rank 2-5 with rank 1") as caught:
            estimate(log, method, QUICK)  # type: ignore[arg-type]
        assert "randomise" in caught.value.advice


def test_two_components_are_named_and_the_first_can_be_asked_for() -> None:
    world = World(21)

    def change(documents: npt.NDArray[np.int64], arm: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        changed = documents.copy()
        changed[:, :3] = world.random.permuted(documents[:, :3], axis=1)
        changed[:, 3:] = world.random.permuted(documents[:, 3:], axis=1)
        return changed

    log = world.exchanged(20_000, change, ("",))
    report = identify(log)
    assert report.components == ((1, 2, 3), (4, 5))
    assert report.identified == 3
    with pytest.raises(NotIdentifiedError, match="rank 4-5") as caught:
        estimate(log, "harvest", QUICK)
    assert "first 3 ranks" in caught.value.advice
    found = estimate(log, "harvest", Options(ranks=3, resamples=0))
    assert values(found) == pytest.approx(CURVE[:3], abs=0.03)
    assert any("rank 4-5" in line for line in report.lines())


def test_pairs_that_nobody_clicked_connect_nothing() -> None:
    pair = np.array([[0, 1], [1, 0], [2, 3], [2, 3]])
    clicks = np.array([[0, 0], [0, 0], [1, 0], [1, 1]])
    report = identify(Sessions.of(pair, clicks))
    assert report.components == ((1, 2),)
    assert report.informed == ((1,), (2,))
    with pytest.raises(NotIdentifiedError, match="clicked at one"):
        estimate(Sessions.of(pair, clicks), "harvest", QUICK)


def test_shared_pairs_are_counted() -> None:
    log = Sessions.of([[0, 1, 2], [1, 0, -1]], [[1, 0, 0], [0, 0, 0]])
    report = identify(log)
    assert report.shared.tolist() == [[2, 2, 0], [2, 2, 0], [0, 0, 1]]
    assert report.clicked[0, 1] == 1


def test_between_arms_one_ranker_alone_says_nothing() -> None:
    """A ranker that moved its documents connects ranks, but perhaps it moved them for their clicks."""
    world = World(22)
    log = world.exchanged(5000, shuffle(world.random, 5), ("v1",))
    assert identify(log).connected
    with pytest.raises(NotIdentifiedError, match="says nothing about rank"):
        estimate(log, "harvest", Options(between=True, resamples=0))


# --- logs as they come


def test_no_clicks_no_pages_and_clicks_on_rank_1_alone_are_refused() -> None:
    nothing = Sessions.of(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(InputError, match="No page"):
        estimate(nothing)
    with pytest.raises(InputError, match="no pages"):
        estimate([])
    log = World(23).rankers(500)
    with pytest.raises(InputError, match="no click"):
        estimate(Sessions.of(log.pair, np.zeros(log.pair.shape)))
    first = log.clicks.copy()
    first[:, 1:] = False
    first[:, 0] = True
    with pytest.raises(NotIdentifiedError, match="no click to compare at rank 2-5"):
        estimate(Sessions.of(log.pair, first, log.query), "harvest", QUICK)


def test_one_query_has_a_curve_and_no_interval() -> None:
    found = estimate(World(24, queries=1).rankers(5000, versions=6), "harvest", Options(resamples=20))
    assert found.curves[0].low == (None,) * 5
    assert any("Too few queries" in line for line in found.curves[0].warnings)


def test_few_clicks_and_rising_curves_are_warned_of() -> None:
    rising = World(25, theta=np.array([0.3, 0.5, 0.9]))
    found = estimate(rising.rankers(20_000), "harvest", QUICK)
    assert any("rises at rank 2-3" in line for line in found.curves[0].warnings)
    found = estimate(World(26).rankers(400), "harvest", QUICK)
    assert any("Fewer than 100 clicks" in line for line in found.curves[0].warnings)


@pytest.mark.parametrize("options", [{"ranks": 0}, {"confidence": 1.0}, {"resamples": -1}])
def test_options_that_mean_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Options(**options)  # type: ignore[arg-type]


# --- intervals


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """24 logs, 90% intervals at 4 ranks: 96 chances, correlated within a log."""
    held = []
    for seed in range(24):
        found = estimate(World(100 + seed, queries=60).rankers(3000), "harvest", Options(resamples=40, confidence=0.9))
        curve = found.curves[0]
        held += [
            low <= truth <= high for low, truth, high in zip(curve.low[1:], CURVE[1:], curve.high[1:], strict=True)
        ]  # type: ignore[operator]
    assert 0.76 <= np.mean(held) <= 0.99


def test_intervals_shrink_with_the_log_and_are_repeatable() -> None:
    def width(pages: int) -> float:
        log = World(27).rankers(pages)
        first, second = (estimate(log, "harvest", Options(resamples=40, seed=5)) for _ in range(2))
        assert first == second
        curve = first.curves[0]
        return float(np.mean(np.array(curve.high[1:]) - np.array(curve.low[1:])))

    assert width(32_000) < 0.5 * width(2000)


def test_rank_1_is_1_by_definition() -> None:
    curve = estimate(World(28).rankers(4000), "harvest", Options(resamples=20)).curves[0]
    assert (curve.low[0], curve.propensity[0], curve.high[0]) == (1, 1, 1)


# --- propensities in use

KNOWN = Propensities("harvest", (Curve("", (1.0, 0.5, 0.05), (1.0, None, 0.01), (1.0, 0.6, 0.1), ((1, 2, 3),), {"pages": 3.0}, ("few",)),))  # fmt: skip  # noqa: E501


def test_weights_are_inverse_propensities_and_the_clip_binds() -> None:
    ranks = np.array([[1, 2], [3, 3]])
    free, cut = KNOWN.weights(ranks, clip=100.0), KNOWN.weights(ranks, clip=10.0)
    assert free.values.tolist() == [[1.0, 2.0], [20.0, 20.0]]
    assert cut.values.tolist() == [[1.0, 2.0], [10.0, 10.0]]
    assert (free.clipped, cut.clipped) == (0.0, 0.5)
    assert free.effective == pytest.approx(43**2 / 805)
    assert cut.effective > free.effective


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-4, 1.0), max_size=9), st.floats(1.0, 50.0))
def test_no_weight_is_above_the_clip_and_none_below_1(curve: list[float], clip: float) -> None:
    theta = (1.0, *curve)
    nothing = (None,) * len(theta)
    weights = Propensities("em", (Curve("", theta, nothing, nothing),)).weights(np.arange(1, len(theta) + 1), clip=clip)
    assert weights.values.max() <= clip
    assert weights.values.min() >= 1
    assert weights.clipped == pytest.approx(np.mean(1 / np.array(theta) > clip))


@pytest.mark.parametrize("clip", [0.5, 0.0, -1.0, float("nan")])
def test_a_clip_below_1_is_refused(clip: float) -> None:
    with pytest.raises(InputError, match="cannot be cut"):
        KNOWN.weights([1], clip=clip)


@pytest.mark.parametrize("ranks", [[0], [4], [1, -1]])
def test_ranks_without_propensities_are_refused(ranks: list[int]) -> None:
    with pytest.raises(InputError, match="ranks 1 to 3"):
        KNOWN.at(ranks)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    KNOWN.save(tmp_path / "curve.json")
    assert Propensities.load(tmp_path / "curve.json") == KNOWN
    found = estimate(World(29).rankers(3000), "harvest", Options(resamples=10))
    found.save(tmp_path / "curve.json")
    assert Propensities.load(tmp_path / "curve.json") == found


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"clickwise_propensities": 2}', '{"clickwise_propensities": 1, "curves": []}']
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curve.json"
    with pytest.raises(NotFoundError):
        Propensities.load(path)
    path.write_text(text)
    with pytest.raises(InputError, match="holds no propensities"):
        Propensities.load(path)


@pytest.mark.parametrize("values", [(), (0.9, 0.5), (1.0, 0.0), (1.0, float("nan")), (1.0, -0.2)])
def test_a_curve_begins_with_1_and_stays_above_0(values: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        Curve("", values, (None,) * len(values), (None,) * len(values))

"""Click models: the fast recursions against the enumeration of everything that may have happened."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import InputError, NotFoundError
from ranking.clicks.measures import foresight
from ranking.clicks.models import registry
from ranking.clicks.models.base import TINY, Batches, ClickModel, FitOptions
from ranking.clicks.models.cascade import Cascade
from ranking.clicks.models.ccm import ClickChain
from ranking.clicks.models.chain import Chain
from ranking.clicks.models.ctr import DocumentRate
from ranking.clicks.models.dbn import DynamicBayesian, SimplifiedDynamicBayesian
from ranking.clicks.models.dcm import DependentClick
from ranking.clicks.models.factored import Factored
from ranking.clicks.models.pbm import PositionBased
from ranking.clicks.models.registry import MODELS, Fitted, new
from ranking.clicks.models.trust import TrustBias
from ranking.clicks.models.ubm import UserBrowsing
from ranking.clicks.sessions import Sessions, Vocabulary, joined
from tests.ranking.clicks.worlds import Enumerated, Weigh, World, chain, factored

PAIRS = 7
PAGE = (3, 0, 5, 2)
PAGES = [PAGE, (1, 4, 2, -1), (6, -1, 0, 3), (5, -1, -1, -1), (-1, 2, 1, -1)]
ALL = sorted(MODELS)
HIDDEN = [name for name in ALL if name not in ("global-ctr", "rank-ctr")]


def every_page() -> Sessions:
    """Every page with every click pattern that it allows."""
    rows = [
        (page, clicks)
        for page in PAGES
        for clicks in itertools.product([False, True], repeat=4)
        if not any(click and pair < 0 for click, pair in zip(clicks, page, strict=True))
    ]
    weight = np.random.default_rng(5).integers(1, 4, len(rows)).astype(float)
    return Sessions.of([page for page, _ in rows], [clicks for _, clicks in rows], np.zeros(len(rows)), weight)


def batches(*parts: Sessions) -> Batches:
    return lambda: iter(parts)


def prepared(name: str, sessions: Sessions) -> ClickModel:
    """A model that has read pages, with parameters drawn at random."""
    model, rng = new(name), np.random.default_rng(3)
    model._collect(batches(sessions), FitOptions(prior="global"))
    if isinstance(model, Factored | Chain):
        model.attraction.update(rng.uniform(0.5, 3, PAIRS), rng.uniform(0.5, 5, PAIRS))
    if isinstance(model, Factored) and not isinstance(model, DocumentRate):
        model.theta[1:] = rng.uniform(0.2, 0.9, len(model.theta) - 1)
    if isinstance(model, TrustBias):
        model.epsilon[:] = [0.3, 0.2, 0.1, 0.0]
    if isinstance(model, DynamicBayesian):
        model.satisfied.update(rng.uniform(0.5, 3, PAIRS), rng.uniform(0.5, 5, PAIRS))
    if isinstance(model, DependentClick):
        model.after_click[:] = rng.uniform(0.3, 0.8, len(model.after_click))
    if isinstance(model, Chain) and model.going_on < 1:
        model.going_on = 0.83
    return model


def worlds(model: ClickModel, page: tuple[int, ...], attraction: Weigh, satisfied: Weigh) -> Enumerated:
    """All that may happen on a page, as the papers define the models."""
    if isinstance(model, Factored):
        theta: Callable[[int, int], float]
        if isinstance(model, UserBrowsing):
            theta = lambda rank, last: float(model.examination[rank, last])  # noqa: E731
        elif isinstance(model, DocumentRate):
            theta = lambda rank, last: 1.0  # noqa: E731
        else:
            theta = lambda rank, last: float(model.theta[rank])  # noqa: E731
        epsilon = model.epsilon.tolist() if isinstance(model, TrustBias) else [0.0] * 4
        return Enumerated(tuple(factored(page, attraction, theta, epsilon)))
    assert isinstance(model, Chain)
    on = model.going_on

    def after(world: World, pair: int, rank: int) -> Iterator[tuple[World, bool]]:
        if isinstance(model, DynamicBayesian):
            yes, no = satisfied(pair)
            yield world.then(yes, ("satisfies", pair)), False
            yield world.then(no * on, ("leaves wanting", pair), ("on", 0)), True
            if on < 1:
                yield world.then(no * (1 - on), ("leaves wanting", pair), ("off", 0)), False
        elif isinstance(model, DependentClick):
            go = float(model.after_click[rank])
            yield world.then(go, ("goes", rank)), True
            yield world.then(1 - go, ("stops", rank)), False
        elif isinstance(model, ClickChain):
            for weight, what, tau in zip(
                attraction(pair)[::-1], ("bores", "attracts"), model.taus.tolist(), strict=True
            ):
                yield world.then(weight * tau, (what, pair), (f"{what}: goes", 0)), True
                yield world.then(weight * (1 - tau), (what, pair), (f"{what}: stops", 0)), False
        else:
            yield world, False

    return Enumerated(tuple(chain(page, attraction, on, after)))


def by_means(model: ClickModel, page: tuple[int, ...]) -> Enumerated:
    def attraction(pair: int) -> tuple[float, float]:
        alpha = float(model.relevance([pair])[0])
        return alpha, 1 - alpha

    def satisfied(pair: int) -> tuple[float, float]:
        assert isinstance(model, DynamicBayesian)
        sigma = float(model.satisfaction([pair])[0])
        return sigma, 1 - sigma

    return worlds(model, page, attraction, satisfied)


def possible(model: ClickModel, sessions: Sessions) -> Sessions:
    """Pages that the model holds for possible: a cascade reader clicks once."""
    return sessions.take(sessions.clicks.sum(axis=1) <= 1) if isinstance(model, Cascade) else sessions


@pytest.mark.parametrize("name", HIDDEN)
def test_probabilities_are_those_of_the_enumeration(name: str) -> None:
    sessions = every_page()
    model = prepared(name, sessions)
    sessions = possible(model, sessions)
    total = np.exp(model.log_likelihood(sessions))
    conditional, marginal = model.conditional_probabilities(sessions), model.click_probabilities(sessions)
    posterior = model.posterior(sessions)
    for row, page in enumerate(sessions.pair.tolist()):
        clicks, known = sessions.clicks[row].tolist(), by_means(model, tuple(page))
        assert total[row] == pytest.approx(known.likelihood(clicks), rel=1e-4, abs=1e-9)
        for rank, pair in enumerate(page):
            if pair < 0:
                assert np.isnan([conditional[row, rank], marginal[row, rank], posterior.examined[row, rank]]).all()
                continue
            follows = known.starting([*clicks[:rank], True]) / known.starting(clicks[:rank])
            assert conditional[row, rank] == pytest.approx(max(follows, TINY), rel=1e-5, abs=2e-6)
            assert marginal[row, rank] == pytest.approx(known.marginal(rank), rel=1e-5)
            assert posterior.examined[row, rank] == pytest.approx(known.examined(clicks, rank), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", HIDDEN)
def test_one_step_of_em_is_that_of_the_enumeration(name: str) -> None:
    sessions = every_page()
    model = prepared(name, sessions)
    sessions = possible(model, sessions)
    model = prepared(name, sessions)
    assert isinstance(model, Factored | Chain)
    yes, no = model.attraction.weights()
    others = model.satisfied.weights() if isinstance(model, DynamicBayesian) else (yes, no)
    expected: Counter[tuple[str, int]] = Counter()
    for row, page in enumerate(sessions.pair.tolist()):
        known = worlds(model, tuple(page), lambda i: (yes[i], no[i]), lambda i: (others[0][i], others[1][i]))
        for what, times in known.expected(sessions.clicks[row].tolist()).items():
            expected[what] += times * sessions.weight[row]  # type: ignore[assignment]
    model._step(False)
    clicked, skipped = model.evidence(np.arange(PAIRS))
    for pair in range(PAIRS):
        assert clicked[pair] == pytest.approx(expected["attracts", pair], rel=1e-6, abs=1e-6)
        assert skipped[pair] == pytest.approx(expected["bores", pair], rel=1e-6, abs=1e-6)
    if isinstance(model, DynamicBayesian):
        pleased, wanting = model.satisfied.evidence(np.arange(PAIRS))
        assert pleased == pytest.approx([expected["satisfies", pair] for pair in range(PAIRS)], abs=1e-5)
        assert wanting == pytest.approx([expected["leaves wanting", pair] for pair in range(PAIRS)], abs=1e-5)
    if isinstance(model, DynamicBayesian | ClickChain) and model.going_on < 1:
        on, off = expected["on", 0], expected["off", 0]
        assert model.going_on == pytest.approx((on + 1) / (on + off + 2), rel=1e-6)
    if isinstance(model, DependentClick):
        for rank in range(3):
            goes, stops = expected["goes", rank], expected["stops", rank]
            assert model.after_click[rank] == pytest.approx((goes + 1) / (goes + stops + 2), rel=1e-6)
    if isinstance(model, ClickChain):
        for number, what in enumerate(("bores", "attracts")):
            goes, stops = expected[f"{what}: goes", 0], expected[f"{what}: stops", 0]
            assert model.taus[number] == pytest.approx((goes + 1) / (goes + stops + 2), rel=1e-6)
    if isinstance(model, PositionBased) and not isinstance(model, DocumentRate):
        shown = (sessions.shown * sessions.weight[:, None]).sum(axis=0)
        for rank in range(1, 4):
            examined = sum(
                times for (what, cell), times in expected.items() if what == "examined" and cell // 100 == rank
            )
            assert model.theta[rank] == pytest.approx((examined + 1) / (shown[rank] + 2), rel=1e-6)
    if isinstance(model, TrustBias):
        noise, refused = expected["noise", 0], expected["refused", 0]
        assert model.epsilon[0] == pytest.approx(noise / (noise + refused), rel=1e-6)


def simulated(name: str, pages: int, seed: int = 0, ranks: int = 6, queries: int = 8, documents: int = 10) -> Sessions:
    """Pages in random order, with clicks of a model whose parameters `truth` gives."""
    rng = np.random.default_rng(seed)
    query = rng.integers(0, queries, pages)
    order = np.argsort(rng.random((pages, documents)), axis=1)[:, :ranks]
    shown = Sessions.of(query[:, None] * documents + order, np.zeros((pages, ranks)), query)
    return truth(name).simulate(shown, rng)


def truth(name: str) -> ClickModel:
    model, rng = new(name), np.random.default_rng(11)
    assert isinstance(model, Factored | Chain)
    size = 80
    model.attraction.regroup(np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.bool_))
    alpha = rng.beta(1.5, 3, size)
    model.attraction.a, model.attraction.b = alpha * 1e6, (1 - alpha) * 1e6
    if isinstance(model, Factored):
        model.theta = 0.75 ** np.arange(6)
        model.epsilon = np.zeros(6)
        if isinstance(model, UserBrowsing):
            model.theta = np.concatenate([0.8**rank * 0.9 ** np.arange(rank, -1, -1) / 0.9**rank for rank in range(6)])
            model.epsilon = np.zeros(21)
        if isinstance(model, TrustBias):
            model.epsilon = np.array([0.4, 0.3, 0.2, 0.1, 0.05, 0.0])
        if isinstance(model, DocumentRate):
            model.theta, model.epsilon = np.ones(1), np.zeros(1)
    if isinstance(model, DynamicBayesian):
        model.satisfied.regroup(np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.bool_))
        sigma = rng.beta(2, 2, size)
        model.satisfied.a, model.satisfied.b = sigma * 1e6, (1 - sigma) * 1e6
        model.going_on = 0.9
    if isinstance(model, SimplifiedDynamicBayesian):
        model.going_on = 1.0
    if isinstance(model, DependentClick):
        model.after_click = np.array([0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    if isinstance(model, ClickChain):
        model.going_on, model.taus = 0.9, np.array([0.9, 0.3])
    return model


@pytest.mark.parametrize("name", HIDDEN)
def test_parameters_are_recovered(name: str) -> None:
    log, real = simulated(name, 30_000), truth(name)
    model = new(name)
    model.fit(batches(log), FitOptions(iterations=200, tolerance=1e-7))
    error = np.abs(model.relevance(np.arange(80)) - real.relevance(np.arange(80))).mean()
    # With trust bias attraction is known up to a scale and an offset, which one rank with little traffic has to fix.
    assert error < (0.06 if name == "trust" else 0.02)
    if isinstance(model, DynamicBayesian):
        assert isinstance(real, DynamicBayesian)
        assert model.continuation == pytest.approx(real.continuation, abs=0.01)
        assert np.abs(model.satisfaction(np.arange(80)) - real.satisfaction(np.arange(80))).mean() < 0.08
    if isinstance(model, PositionBased) and name == "pbm":
        assert isinstance(real, PositionBased)
        assert model.examination == pytest.approx(real.examination, abs=0.02)
    if isinstance(model, ClickChain):
        assert isinstance(real, ClickChain)
        assert model.going_on == pytest.approx(real.going_on, abs=0.01)
    if isinstance(model, DependentClick):
        assert isinstance(real, DependentClick)
        assert model.after_click[:5] == pytest.approx(real.after_click[:5], abs=0.05)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("log", ["dbn", "ubm"])
def test_the_bound_never_falls(name: str, log: str) -> None:
    options = FitOptions(iterations=40, check=1, tolerance=-1.0, prior="global")
    bounds = np.array(new(name).fit(batches(simulated(log, 1_500)), options).bounds)
    assert len(bounds) == 40
    assert (np.diff(bounds) > -1e-7 * np.abs(bounds[1:])).all()


@pytest.mark.parametrize("name", ALL)
def test_every_model_survives_extreme_logs(name: str) -> None:
    pair = np.tile(np.arange(5), (20, 1))
    for clicks in (np.zeros((20, 5)), np.ones((20, 5)), np.eye(5)[np.zeros(20, dtype=int)]):
        for log in (Sessions.of(pair, clicks), Sessions.of(pair[:1, :1], clicks[:1, :1])):
            model = new(name)
            report = model.fit(batches(log), FitOptions(iterations=30))
            assert np.isfinite(report.bounds).all()
            found = foresight(model, [log])
            assert np.isfinite([found.log_likelihood, found.perplexity, found.conditional_perplexity]).all()
            assert ((model.relevance([0, 4, 99, -1]) >= 0) & (model.relevance([0, 4, 99, -1]) <= 1)).all()


@pytest.mark.parametrize("name", ALL)
def test_an_empty_log_leaves_the_prior(name: str) -> None:
    model = new(name)
    assert model.fit(batches(), FitOptions(iterations=5)).impressions == 0
    assert 0 < model.relevance([3])[0] < 1


def test_pages_without_clicks_tell_where_readers_stop() -> None:
    """The fault of others: with zero-click pages taken for read to the end, continuation drifts to 1."""
    log = simulated("dbn", 20_000, ranks=8)
    assert (~log.clicks.any(axis=1)).mean() > 0.1
    model = DynamicBayesian()
    model.fit(batches(log))
    assert model.continuation == pytest.approx(0.9, abs=0.01)


def test_held_out_pages_stop_the_fit_and_choose() -> None:
    log = simulated("ubm", 3_000)
    model = new("ubm")
    held = log.take(slice(2_000, None))
    report = model.fit(batches(log.take(slice(0, 2_000))), FitOptions(iterations=100, check=2), batches(held))
    assert report.iterations < 100
    assert model.mean_log_likelihood([held]) == pytest.approx(max(report.held_out))


@pytest.mark.parametrize("name", ALL)
def test_batches_and_the_file_that_spools_them_change_nothing(name: str) -> None:
    log = simulated("dbn", 2_000)
    whole, parts = new(name), new(name)
    whole.fit(batches(log), FitOptions(iterations=12))
    parts.fit(lambda: log.batches(300), FitOptions(iterations=12, spool_mb=0.02))
    assert parts.relevance(np.arange(80)) == pytest.approx(whole.relevance(np.arange(80)), rel=1e-9)
    assert parts.log_likelihood(log) == pytest.approx(whole.log_likelihood(log), rel=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_a_fit_that_goes_on_is_the_fit_of_both_logs(name: str) -> None:
    first, second = simulated("dbn", 3_000, seed=1), simulated("dbn", 3_000, seed=2)
    options = FitOptions(iterations=60, tolerance=1e-9, prior="global")
    both, onward = new(name), new(name)
    both.fit(batches(first, second), options)
    onward.fit(batches(first), options)
    onward.fit(batches(second), options)
    # Counts are sums, and the joint fit is met. Models of a chain keep what they expected of the first log; with trust
    # bias EM is slow, and has not come to its end.
    bar = 0.01 if isinstance(onward, Chain | TrustBias) else 1e-3
    assert np.abs(onward.relevance(np.arange(80)) - both.relevance(np.arange(80))).mean() < bar
    assert onward.mean_log_likelihood([second]) == pytest.approx(both.mean_log_likelihood([second]), abs=bar / 4)


def test_decay_forgets() -> None:
    liked = Sessions.of(np.zeros((500, 1)), np.ones((500, 1)))
    ignored = Sessions.of(np.zeros((500, 1)), np.zeros((500, 1)))
    for name in ("pbm", "dbn"):
        keeping, forgetting = new(name), new(name)
        for model, decay in ((keeping, 1.0), (forgetting, 0.0)):
            model.fit(batches(liked))
            model.fit(batches(ignored), FitOptions(decay=decay))
        assert keeping.relevance([0])[0] == pytest.approx(0.5, abs=0.05)
        assert forgetting.relevance([0])[0] < 0.05


@pytest.mark.parametrize("name", ALL)
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    vocabulary = Vocabulary()
    for query in range(8):
        for document in range(10):
            vocabulary.pair(f"frage {query}", f"d{document} \u00fc")
    log = simulated("dbn", 1_000)
    model = new(name)
    model.fit(batches(log))
    Fitted(model, vocabulary, {"note": 1}).save(tmp_path / "model")
    back = Fitted.load(tmp_path / "model")
    assert type(back.model) is type(model)
    assert back.facts == {"note": 1}
    assert back.vocabulary.pairs == vocabulary.pairs
    assert (back.model.log_likelihood(log) == model.log_likelihood(log)).all()
    assert [part.tolist() for part in back.model.evidence([0, 5])] == [part.tolist() for part in model.evidence([0, 5])]
    more = simulated("dbn", 500, seed=9)
    for each in (model, back.model):
        each.fit(batches(more), FitOptions(iterations=3))
    assert back.model.relevance(np.arange(80)) == pytest.approx(model.relevance(np.arange(80)), rel=1e-6)


def test_a_fit_is_saved_over_another_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, later = new("pbm"), new("pbm")
    old.fit(batches(simulated("pbm", 500)))
    later.fit(batches(simulated("pbm", 500, seed=3)))
    Fitted(old, Vocabulary(), {"day": 1}).save(tmp_path)
    write = registry.write_durably

    def killed(path: Path, content: bytes) -> None:
        if path.name == registry.MODEL:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(registry, "write_durably", killed)
    with pytest.raises(KeyboardInterrupt):
        Fitted(later, Vocabulary(), {"day": 2}).save(tmp_path)
    found = Fitted.load(tmp_path)
    assert found.facts == {"day": 1}
    assert (found.model.relevance([0, 1]) == old.relevance([0, 1])).all()
    monkeypatch.undo()
    Fitted(later, Vocabulary(), {"day": 2}).save(tmp_path)
    assert (Fitted.load(tmp_path).model.relevance([0, 1]) == later.relevance([0, 1])).all()
    assert len(list(tmp_path.iterdir())) == 4


def test_damaged_models_say_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Fitted.load(tmp_path)
    Fitted(new("pbm"), Vocabulary()).save(tmp_path)
    (parameters,) = tmp_path.glob("parameters-*")
    parameters.write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        Fitted.load(tmp_path)
    parameters.unlink()
    with pytest.raises(InputError, match="damaged"):
        Fitted.load(tmp_path)
    with pytest.raises(InputError, match="There is no click model"):
        new("pmb")


def test_a_fixed_ranking_has_no_prior_by_exposure() -> None:
    pair = np.tile(np.arange(5), (200, 1))
    log = Sessions.of(pair, np.random.default_rng(0).random((200, 5)) < 0.3)
    assert new("pbm").fit(batches(log)).prior == "global"
    assert new("pbm").fit(batches(simulated("pbm", 500))).prior == "exposure"


def test_simulated_clicks_have_the_marginal_probabilities() -> None:
    for name in HIDDEN:
        log = simulated(name, 20_000)
        assert log.clicks.mean(axis=0) == pytest.approx(truth(name).click_probabilities(log).mean(axis=0), abs=0.015)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_perplexity_of_pages_of_many_lengths(lengths: list[int], seed: int) -> None:
    """Each rank is measured on the pages that reach it, however the pages are padded or divided into batches."""
    rng = np.random.default_rng(seed)
    pages = [Sessions.of(rng.integers(0, 9, (1, n)), rng.random((1, n)) < 0.4) for n in lengths]
    log = joined([*pages, Sessions.of(np.full((1, 7), -1), np.zeros((1, 7)))])
    model = new("ubm")
    model.fit(batches(log), FitOptions(iterations=5))
    whole, parts = foresight(model, [log]), foresight(model, pages)
    chances = model.conditional_probabilities(log)
    for rank in range(7):
        reach = log.shown[:, rank]
        if not reach.any():
            assert np.isnan(whole.conditional_by_rank[rank])
            continue
        p = np.where(log.clicks[reach, rank], chances[reach, rank], 1 - chances[reach, rank])
        assert whole.conditional_by_rank[rank] == pytest.approx(2 ** -np.log2(p).mean())
    assert whole.conditional_perplexity == pytest.approx(np.nanmean(whole.conditional_by_rank))
    assert whole.log_likelihood == pytest.approx(model.log_likelihood(log).sum() / sum(lengths))
    assert parts.perplexity == pytest.approx(whole.perplexity)
    assert whole.impressions == sum(lengths)

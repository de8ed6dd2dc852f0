"""The reward model: means that back off as much as the data ask for, fitted without the row's own fold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.log import Log, Policy, uniform
from eval.log.labels import FloatArray
from eval.log.model import RewardModel
from eval.log.target import lay

FOLDS = 5


def fitted(log: Log, policy: Policy | None = None, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    return RewardModel(log, lay(policy or uniform(log), log), FOLDS, seed).fit()


def simulated(
    rates: dict[tuple[str, str], float], rows: int, seed: int, query: tuple[str, ...] = ("q",)
) -> tuple[Log, list[tuple[str, str]]]:
    """Clicks on (action, position) pairs shown at random, at the given rates."""
    random = np.random.default_rng(seed)
    pairs = [list(rates)[i] for i in random.integers(len(rates), size=rows)]
    clicks = [float(random.random() < rates[pair]) for pair in pairs]
    log = Log.of(
        [action for action, _ in pairs],
        clicks,
        np.full(rows, 1 / len(rates)),
        position=[position for _, position in pairs],
        context={"query": random.choice(query, size=rows)},
        actions=sorted({action for action, _ in rates}),
    )
    return log, pairs


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 4))
def test_predictions_stay_within_the_rewards(seed: int, rows: int, documents: int) -> None:
    random = np.random.default_rng(seed)
    reward = random.normal(size=rows)
    log = Log.of(
        random.integers(documents, size=rows),
        reward,
        position=random.integers(3, size=rows),
        page=random.integers(1 + rows // 2, size=rows) if rows > 4 else None,
    )
    if len(np.unique(log.page)) < 2:
        return
    for predicted in fitted(log, seed=seed):
        assert predicted.shape == (rows,)
        assert reward.min() - 1e-9 <= predicted.min()
        assert predicted.max() <= reward.max() + 1e-9


def test_a_reward_that_never_changes_is_predicted_exactly() -> None:
    log = Log.of(list("abcabcab"), np.full(8, 0.3), position=[1, 1, 2, 2, 1, 2, 1, 2])
    for predicted in fitted(log):
        assert predicted == pytest.approx(np.full(8, 0.3))


def test_with_much_data_every_rate_is_found() -> None:
    rates = {("a", "1"): 0.8, ("a", "2"): 0.1, ("b", "1"): 0.3, ("b", "2"): 0.5}
    log, pairs = simulated(rates, rows=20_000, seed=1)
    expected, factual = fitted(log)
    assert factual == pytest.approx(np.array([rates[pair] for pair in pairs]), abs=0.03)
    by_position = {"1": 0.55, "2": 0.3}  # the policy shows a and b equally often
    assert expected == pytest.approx(np.array([by_position[position] for _, position in pairs]), abs=0.03)


def test_where_nothing_differs_the_means_of_few_rows_are_not_trusted() -> None:
    rates = {(f"d{i}", position): 0.2 for i in range(50) for position in "123"}
    log, _ = simulated(rates, rows=1500, seed=2)  # about ten rows per document and position
    _, factual = fitted(log)
    assert np.std(factual) < 0.02  # the raw means have a standard deviation of 0.13


def test_a_row_is_predicted_without_its_own_fold() -> None:
    log, _ = simulated({("a", "1"): 0.8, ("b", "1"): 0.1}, rows=60, seed=3)
    model = RewardModel(log, lay(uniform(log), log), FOLDS, seed=0)
    own = model._fold == 0
    changed = Log.of(log.action, np.where(own, 7.0, log.reward), position=log.position, context=log.context)
    expected, factual = model.fit()
    other_expected, other_factual = RewardModel(changed, lay(uniform(changed), changed), FOLDS, seed=0).fit()
    assert other_expected[own].tolist() == expected[own].tolist()
    assert other_factual[own].tolist() == factual[own].tolist()
    assert other_factual[~own].tolist() != factual[~own].tolist()


def test_rows_of_one_page_are_in_one_fold() -> None:
    page = np.repeat(np.arange(20), 3)
    log = Log.of(np.tile(["a", "b", "c"], 20), np.arange(60) % 2, position=np.tile([1, 2, 3], 20), page=page)
    fold = RewardModel(log, lay(uniform(log), log), FOLDS, seed=0)._fold
    assert all(len(set(fold[page == p].tolist())) == 1 for p in range(20))
    assert sorted(set(fold.tolist())) == list(range(FOLDS))


def test_the_value_of_a_sample_is_that_of_the_log_with_its_rows_repeated() -> None:
    log, _ = simulated({("a", "1"): 0.6, ("b", "1"): 0.1, ("c", "2"): 0.3}, rows=80, seed=4, query=("q", "r"))
    policy = Policy.of(list("abc"), [0.2, 0.3, 0.5])
    model = RewardModel(log, lay(policy, log), FOLDS, seed=0)
    assert model.value(np.ones(80)) == pytest.approx(model.fit()[0].mean(), abs=1e-12)
    counts = np.random.default_rng(5).integers(0, 3, size=80)
    rows = np.repeat(np.arange(80), counts)
    context = {"query": np.array(log.context["query"].values)[log.context["query"].codes[rows]]}
    again = Log.of(
        np.array(log.action.values)[log.action.codes[rows]],
        log.reward[rows],
        position=np.array(log.position.values)[log.position.codes[rows]],
        context=context,
    )
    repeated = RewardModel(again, lay(policy, again), FOLDS, seed=0)
    repeated._fold = model._fold[rows]  # the folds are drawn by page, and these are other pages
    assert model.value(counts.astype(float)) == pytest.approx(repeated.value(np.ones(len(rows))), abs=1e-12)


def test_what_was_never_shown_gets_the_mean_of_what_is_most_like_it() -> None:
    rates = {("a", "1"): 0.9, ("a", "2"): 0.9, ("b", "1"): 0.1}  # b was never shown at position 2
    log, pairs = simulated(rates, rows=5000, seed=6)
    expected, _ = fitted(log, Policy.of(["b"], [1]))
    assert expected[[position == "2" for _, position in pairs]] == pytest.approx(0.1, abs=0.05)

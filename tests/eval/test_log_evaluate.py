"""The whole evaluation: right in simulation, exact where it can be, and silent where it must be."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from eval.log import Log, Options, Policy, SupportError, Weights, evaluate, frequencies, uniform
from eval.log.estimators import MODELLING, WEIGHTING
from index.errors import InputError

ACTIONS = ("a", "b", "c", "d")
LOGGING = {"1": [0.4, 0.3, 0.2, 0.1], "2": [0.1, 0.1, 0.4, 0.4]}
TARGET = {"1": [0.1, 0.2, 0.3, 0.4], "2": [0.6, 0.2, 0.1, 0.1]}
RATE = {"1": [0.10, 0.30, 0.50, 0.20], "2": [0.05, 0.10, 0.30, 0.60]}
TRUE_VALUE = sum(float(np.dot(TARGET[p], RATE[p])) for p in "12") / 2
FAST = Options(resamples=50)

target = Policy.of(
    [*ACTIONS, *ACTIONS], [*TARGET["1"], *TARGET["2"]], position=np.repeat(["1", "2"], 4), name="the new one"
)


def simulated(rows: int, seed: int, by: dict[str, list[float]] = LOGGING, **more: Any) -> Log:
    random = np.random.default_rng(seed)
    position = random.choice(["1", "2"], size=rows)
    action = np.array([random.choice(4, p=by[p]) for p in position])
    reward = [float(random.random() < RATE[p][a]) for p, a in zip(position, action, strict=True)]
    propensity = [by[p][a] for p, a in zip(position, action, strict=True)]
    return Log.of([ACTIONS[a] for a in action], reward, propensity, position=position, actions=ACTIONS, **more)


def test_every_estimator_finds_the_value_in_a_long_log() -> None:
    report = evaluate(simulated(20_000, seed=1), target, Options(resamples=100))
    assert list(report.estimates) == [*WEIGHTING, *MODELLING]
    for name, found in report.estimates.items():
        assert abs(found.value - TRUE_VALUE) < 4 * found.standard_error, name
        assert 0.001 < found.standard_error < 0.02, name
        assert found.low < found.value < found.high, name
    own_value = sum(float(np.dot(LOGGING[p], RATE[p])) for p in "12") / 2
    assert report.logging.value == pytest.approx(own_value, abs=0.02)
    assert report.weights.mean == pytest.approx(1, abs=0.03)
    assert report.support is not None
    assert report.support.missing == report.support.unseen == 0
    assert report.warnings == ()


def test_the_doubly_robust_estimate_is_unbiased_in_short_logs_too() -> None:
    """The mean over many short logs: a model that had seen its own clicks would show here."""
    values = []
    for seed in range(300):
        # 60 rows leave a gap now and then: what this is about is the model, not support.
        report = evaluate(simulated(60, seed), target, Options(resamples=1, max_missing=0.9))
        values.append([report.estimates[name].value for name in ("ips", "dr")])
    ips, robust = np.array(values).T
    for found in (ips, robust):
        assert abs(found.mean() - TRUE_VALUE) < 3 * found.std() / math.sqrt(len(found))


def test_the_interval_holds_the_value_about_as_often_as_it_says() -> None:
    options = Options(confidence=0.9, resamples=100)
    names = ("ips", "snips", "dr", "sndr")
    held, errors = dict.fromkeys(names, 0), dict.fromkeys(names, 0.0)
    for seed in range(80):
        report = evaluate(simulated(300, 1000 + seed), target, options)
        for name in names:
            found = report.estimates[name]
            held[name] += found.low <= TRUE_VALUE <= found.high
            errors[name] += found.standard_error
    assert all(64 <= count <= 79 for count in held.values()), held
    assert errors["dr"] < errors["ips"]  # what the model is for


def test_the_logging_policy_is_worth_exactly_its_mean_reward() -> None:
    log = simulated(500, seed=2)
    same = dataclasses.replace(log, target=log.propensity)
    report = evaluate(same, None, FAST)
    for found in report.estimates.values():
        assert found.value == pytest.approx(log.reward.mean(), abs=1e-15)
        assert (found.low, found.high) == pytest.approx((report.logging.low, report.logging.high))
    assert report.weights == Weights(1.0, 0.0, 1.0, 500.0, 10.0, 0.0, 0.0)
    assert report.support is None
    assert list(report.estimates) == list(WEIGHTING)


def test_clipping_counts_what_it_cuts() -> None:
    log = simulated(2000, seed=3)
    report = evaluate(log, target, Options(resamples=10, clip=2.0))
    cut = log.propensity is not None and np.array(
        [TARGET[p][ACTIONS.index(a)] / LOGGING[p][ACTIONS.index(a)] for p, a in labels(log)]
    )
    assert report.weights.maximum == pytest.approx(6.0)
    assert report.weights.clipped_rows == pytest.approx(np.mean(cut > 2))
    assert report.weights.clipped_weight == pytest.approx(1 - np.minimum(cut, 2).sum() / np.sum(cut))
    assert report.weights.effective_rows == pytest.approx(np.sum(cut) ** 2 / np.sum(np.square(cut)))
    assert report.estimates["clipped_ips"].value < report.estimates["ips"].value
    unclipped = evaluate(log, target, Options(resamples=10, clip=7.0)).estimates
    assert unclipped["clipped_ips"] == unclipped["ips"]
    assert unclipped["clipped_dr"] == unclipped["dr"]


def labels(log: Log) -> list[tuple[str, str]]:
    return [
        (log.position.values[p], log.action.values[a])
        for p, a in zip(log.position.codes, log.action.codes, strict=True)
    ]


def test_missing_support_is_refused_and_its_mass_named() -> None:
    never_d = {"1": [0.5, 0.3, 0.2, 0.0], "2": [0.1, 0.1, 0.4, 0.4]}
    log = simulated(1000, seed=4, by=never_d)
    share = float((log.position.codes == log.position.values.index("1")).mean()) * 0.4
    with pytest.raises(SupportError, match="most of it on d") as refusal:
        evaluate(log, target, FAST)
    assert refusal.value.missing == pytest.approx(share)
    assert f"{share:.2%} of the probability of the new one" in refusal.value.message
    assert "--max-missing" in refusal.value.advice
    allowed = evaluate(log, target, dataclasses.replace(FAST, max_missing=0.5))
    assert allowed.support is not None
    assert allowed.support.missing == pytest.approx(share)
    assert f"{share:.2%}" in allowed.warnings[0]


def test_with_probabilities_alone_missing_support_shows_in_the_weights() -> None:
    never_d = {"1": [0.5, 0.3, 0.2, 0.0], "2": [0.1, 0.1, 0.4, 0.4]}
    log = simulated(2000, seed=5, by=never_d)
    chance = [TARGET[p][ACTIONS.index(a)] for p, a in labels(log)]
    with pytest.raises(SupportError, match=r"its weights have the mean 0\.8") as refusal:
        evaluate(dataclasses.replace(log, target=np.array(chance)), None, FAST)
    assert refusal.value.missing == pytest.approx(0.2, abs=0.05)
    nothing = dataclasses.replace(log, target=np.zeros(len(log)))
    with pytest.raises(SupportError, match=r"100\.00%"):
        evaluate(nothing, None, FAST)


def by_query(queries: int, rows: int, seed: int, shown: int) -> tuple[Log, Policy]:
    """A log that shows `shown` of ten documents per query with a propensity of 0.1; the policy shows all ten."""
    random = np.random.default_rng(seed)
    query, document = random.integers(queries, size=rows), random.integers(shown, size=rows)
    log = Log.of(document, np.zeros(rows), np.full(rows, 0.1), context={"query": query})
    policy = Policy.of(np.tile(np.arange(10), queries), np.full(10 * queries, 0.1), context={
        "query": np.repeat(np.arange(queries), 10),
    })  # fmt: skip
    return log, policy


def test_what_a_long_log_happens_not_to_show_is_answered_with_a_warning() -> None:
    log, policy = by_query(queries=200, rows=4000, seed=20, shown=10)
    report = evaluate(log, policy, Options(resamples=5))
    assert report.support is not None
    assert report.support.missing == 0
    assert report.support.unseen == pytest.approx(0.9**20, abs=0.02)  # no document missed 20 rows but by chance
    assert "% of the target's probability is on what the log does not show; up to 0.00%" in report.warnings[0]


def test_propensities_that_leave_room_for_what_a_long_log_never_shows_are_no_excuse() -> None:
    """As after somebody removed rows: every weight is 1, so that the weights cannot tell."""
    log, policy = by_query(queries=5, rows=2000, seed=21, shown=8)
    with pytest.raises(SupportError, match=r"20\.00% of the probability .* on what the logging policy never shows"):
        evaluate(log, policy, FAST)


def test_in_a_short_log_nobody_knows_and_so_it_is_refused() -> None:
    with pytest.raises(SupportError, match=r"that may be chance, but up to \d+\.\d+% may be missing") as refusal:
        evaluate(simulated(25, seed=22), target, FAST)
    assert 0 < refusal.value.missing < 0.5


def test_propensities_that_do_not_fit_are_warned_of() -> None:
    log = simulated(3000, seed=6)
    assert log.propensity is not None
    report = evaluate(dataclasses.replace(log, propensity=log.propensity / 2), target, FAST)
    assert any("propensities may be wrong" in warning for warning in report.warnings)


def test_a_small_effective_sample_is_warned_of() -> None:
    report = evaluate(simulated(80, seed=7), target, Options(resamples=10, max_missing=0.5))
    assert any("effective sample" in warning for warning in report.warnings)


def test_the_truth_stands_beside_the_estimates() -> None:
    own = simulated(20_000, seed=8, by=TARGET)
    report = evaluate(simulated(20_000, seed=9), frequencies(own), FAST, own)
    assert report.truth is not None
    assert report.truth.value.value == pytest.approx(own.reward.mean())
    for name, error in report.truth.relative_error.items():
        wanted = report.estimates[name].value / own.reward.mean() - 1
        assert error.value == pytest.approx(wanted)
        assert error.low < error.value < error.high
        assert error.low < 0.03
        assert error.high > -0.03
    without_clicks = Log.of(["a", "b"], [0, 0])
    with pytest.raises(InputError, match="mean reward of 0"):
        evaluate(simulated(200, seed=10), uniform(own), FAST, without_clicks)


def test_the_same_seed_gives_the_same_report() -> None:
    log = simulated(300, seed=11)
    assert evaluate(log, target, FAST) == evaluate(log, target, FAST)
    assert evaluate(log, target, FAST) != evaluate(log, target, dataclasses.replace(FAST, seed=1))


def test_a_log_without_propensities_is_refused() -> None:
    with pytest.raises(InputError, match="no propensities"):
        evaluate(Log.of(["a", "b"], [0, 1]), Policy.of(["a"], [1]))


def test_there_must_be_a_target() -> None:
    with pytest.raises(InputError, match="neither a target policy nor"):
        evaluate(Log.of(["a", "b"], [0, 1], [0.5, 0.5]), None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": 0},
        {"clip": math.nan},
        {"confidence": 1},
        {"confidence": 0},
        {"resamples": 0},
        {"folds": 1},
        {"seed": -1},
        {"max_missing": 1},
        {"max_missing": -0.1},
    ],
)
def test_options_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"A {next(iter(wrong)).replace('_', ' ')} of"):
        Options(**wrong)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"propensity": [0.5, 0]}, "Row 2 of the log has a propensity of 0."),
        ({"propensity": [0.5, 1.5]}, "Row 2 of the log has a propensity of 1.5."),
        ({"propensity": [-1, -1]}, "Row 1 of the log has a propensity of -1, and 1 more rows are like it."),
        ({"propensity": [0.5, math.nan]}, "Row 2 of the log has no propensity."),
        ({"propensity": [0.5]}, "2 rewards and 1 values of propensity"),
        ({"propensity": ["much", "little"]}, "The propensity values are no numbers"),
        ({"reward": [math.nan, 1]}, "Row 1 of the log has no reward."),
        ({"reward": [0, math.inf]}, "Row 2 of the log has a reward of inf."),
        ({"target": [0.5, 1.01]}, "Row 2 of the log has a target probability of 1.01."),
        ({"action": ["a"]}, "2 rewards and 1 values of action"),
        ({"position": [1, 2, 3]}, "2 rewards and 3 values of position"),
        ({"page": [1]}, "2 rewards and 1 values of page"),
        ({"context": {"query": ["q"]}}, "2 rewards and 1 values of query"),
        ({"action": [], "reward": [], "propensity": []}, "the log has no rows"),
        ({"action": ["a"], "reward": [1], "propensity": [0.5]}, "the log has one row"),
    ],
)
def test_a_log_that_is_none_is_refused(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        Log.of(**({"action": ["a", "b"], "reward": [0, 1], "propensity": [0.5, 0.5]} | columns))
    assert said in refusal.value.message
    assert refusal.value.advice


def test_samples_that_have_no_estimate_are_warned_of() -> None:
    log = Log.of(["a", "b", "b", "b"], [1, 0, 0, 0], [0.25, 0.75, 0.75, 0.75])
    report = evaluate(log, Policy.of(["a"], [1]), FAST)
    assert any("had only weights of 0" in warning for warning in report.warnings)

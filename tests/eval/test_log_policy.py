"""Policies: what a table must be, where policies come from, and how they are laid over a log."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.log import Log, Policy, frequencies, thompson, uniform
from eval.log.labels import Column, IntArray, combine
from eval.log.support import support
from eval.log.target import lay
from index.errors import InputError

QUERIES = ("q1", "q2")
POSITIONS = ("1", "2", "3")
ACTIONS = ("a", "b", "c", "d")
quick = settings(deadline=None, max_examples=50)


def table(policy: Policy) -> dict[tuple[str, ...], float]:
    """(position, context..., action) -> probability."""
    columns = [*([policy.position] if policy.position else []), *policy.context.values(), policy.action]
    labels = zip(*(np.array(column.values)[column.codes].tolist() for column in columns), strict=True)
    return dict(zip(labels, policy.probability.tolist(), strict=True))


@st.composite
def situations(draw: st.DrawFn) -> tuple[Log, Policy, dict[tuple[str, str, str], float]]:
    """A log with two queries and three positions, and a policy that depends on both."""
    n = draw(st.integers(2, 25))
    rows = [(draw(st.sampled_from(QUERIES)), draw(st.sampled_from(POSITIONS))) for _ in range(n)]
    actions = [draw(st.sampled_from(ACTIONS)) for _ in range(n)]
    log = Log.of(
        actions,
        np.zeros(n),
        np.full(n, 0.5),
        position=[position for _, position in rows],
        context={"query": [query for query, _ in rows]},
    )
    entries: dict[tuple[str, str, str], float] = {}
    for query in QUERIES:
        for position in POSITIONS:
            chosen = draw(st.lists(st.sampled_from([*ACTIONS, "never"]), min_size=1, unique=True))
            shares = np.array([draw(st.integers(1, 9)) for _ in chosen], dtype=float)
            for action, share in zip(chosen, shares / shares.sum(), strict=True):
                entries[query, position, action] = float(share)
    order = draw(st.permutations(list(entries)))
    policy = Policy.of(
        [action for _, _, action in order],
        [entries[key] for key in order],
        position=[position for _, position, _ in order],
        context={"query": [query for query, _, _ in order]},
    )
    return log, policy, entries


def labels_of(log: Log) -> list[tuple[str, str, str]]:
    columns = (log.context["query"], log.position, log.action)
    return [tuple(column.values[column.codes[i]] for column in columns) for i in range(len(log))]


@quick
@given(situations())
def test_the_probability_of_each_logged_row_is_the_one_in_the_table(
    case: tuple[Log, Policy, dict[tuple[str, str, str], float]],
) -> None:
    log, policy, entries = case
    assert lay(policy, log).logged.tolist() == [entries.get(key, 0.0) for key in labels_of(log)]


@quick
@given(situations())
def test_what_is_unseen_is_the_probability_of_what_the_log_never_shows_there(
    case: tuple[Log, Policy, dict[tuple[str, str, str], float]],
) -> None:
    log, policy, entries = case
    seen = set(labels_of(log))
    missing = 0.0
    by_action = dict.fromkeys([*ACTIONS, "never"], 0.0)
    for query, position, _ in labels_of(log):
        for key, probability in entries.items():
            if key[:2] == (query, position) and key not in seen:
                missing += probability / len(log)
                by_action[key[2]] += probability / len(log)
    found = support(log, lay(policy, log))
    assert found.unseen == pytest.approx(missing, abs=1e-12)
    for action, share in found.actions.items():
        assert share == pytest.approx(by_action[action], abs=1e-12)
    assert len(found.actions) == min(3, sum(share > 0 for share in by_action.values()))


def test_a_policy_without_positions_needs_support_at_each_position() -> None:
    log = Log.of(["a", "b", "a", "a"], [0, 0, 0, 0], [0.5] * 4, position=[1, 1, 2, 2])
    found = support(log, lay(Policy.of(["a", "b"], [0.3, 0.7]), log))
    assert found.unseen == pytest.approx(0.35)  # b was never shown at position 2, where half of the rows are
    assert found.actions == {"b": pytest.approx(0.35)}
    assert found.missing == 0  # a has the propensity 0.5 there: something else is shown, if not in this log


def test_what_propensities_leave_no_room_for_is_missing() -> None:
    # At position 1 the propensities of a and b make 1. At position 2 those of a make 0.9, on average.
    log = Log.of(["a", "b", "a", "a"], [0] * 4, [0.7, 0.3, 0.8, 1.0], position=[1, 1, 2, 2])
    found = support(log, lay(Policy.of(["a", "b", "c"], [0.5, 0.3, 0.2]), log))
    assert found.missing == pytest.approx(0.5 * 0.2)
    assert found.unseen == pytest.approx(0.5 * 0.2 + 0.5 * 0.5)
    assert found.actions == {"c": pytest.approx(0.2), "b": pytest.approx(0.15)}


def test_a_policy_must_speak_about_every_row_of_the_log() -> None:
    log = Log.of(["a", "b", "a"], [0, 0, 0], [0.5] * 3, context={"query": ["q1", "q2", "q2"]})
    policy = Policy.of(["a"], [1], context={"query": ["q1"]}, name="mine")
    with pytest.raises(InputError, match=r"mine says nothing about 2 of the 3 rows .* at query q2"):
        lay(policy, log)


def test_a_policy_that_depends_on_what_the_log_has_not_is_refused() -> None:
    log = Log.of(["a", "b"], [0, 0], [0.5, 0.5])
    with pytest.raises(InputError, match="depends on device"):
        lay(Policy.of(["a"], [1], context={"device": ["phone"]}), log)


@pytest.mark.parametrize(
    ("actions", "probability", "said"),
    [
        ([], [], "is empty"),
        (["a", "b"], [1.0], "1 probabilities and 2 values of action"),
        (["a", "b"], [0.5, math.nan], "Line 2 of the policy has the probability nan"),
        (["a", "b"], [1.5, -0.5], "Line 1 of the policy has the probability 1.5"),
        (["a", "a"], [0.5, 0.5], "lists action a 2 times"),
        (["a", "b"], [0.5, 0.4], "sum to 0.9, not to 1"),
    ],
)
def test_a_table_that_is_no_policy_is_refused(actions: list[str], probability: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Policy.of(actions, probability)


def test_the_situation_of_a_bad_line_is_named() -> None:
    with pytest.raises(InputError, match=r"sum to 0\.5 at query q2, position 3, not to 1"):
        Policy.of(["a", "b"], [1, 0.5], position=[3, 3], context={"query": ["q1", "q2"]})


def test_uniform_gives_every_known_action_the_same() -> None:
    log = Log.of(["a", "b", "a"], [0, 0, 0], actions=("a", "b", "c"))
    assert table(uniform(log)) == {(action,): pytest.approx(1 / 3) for action in "abc"}


def test_frequencies_count_by_position_and_context() -> None:
    log = Log.of(
        ["a", "a", "b", "a", "c"],
        [0, 1, 0, 0, 0],
        position=[1, 1, 1, 2, 2],
        context={"query": ["q", "q", "q", "q", "r"]},
        actions=("a", "b", "c", "d"),
    )
    plain = {("1", "q", "a"): 2 / 3, ("1", "q", "b"): 1 / 3, ("2", "q", "a"): 1.0, ("2", "r", "c"): 1.0}
    assert table(frequencies(log)) == pytest.approx(plain)
    smooth = table(frequencies(log, smoothing=2))
    assert len(smooth) == 3 * 4
    assert smooth["1", "q", "a"] == pytest.approx((2 + 0.5) / (3 + 2))
    assert smooth["2", "r", "d"] == pytest.approx(0.5 / (1 + 2))
    assert lay(frequencies(log), log).logged.tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1, 1])


@pytest.mark.parametrize("smoothing", [-1, math.nan, math.inf])
def test_a_smoothing_that_is_no_amount_is_refused(smoothing: float) -> None:
    with pytest.raises(InputError, match="smoothing"):
        frequencies(Log.of(["a", "b"], [0, 0]), smoothing)


def test_thompson_sampling_agrees_with_the_chance_that_one_beta_exceeds_another() -> None:
    # P(X > Y) for X ~ Beta(2, 1), Y ~ Beta(1, 1) is E[X] = 2/3.
    policy = table(thompson(["x", "y"], [2, 1], [1, 1], ["1", "2"], draws=40_000))
    assert policy["1", "x"] == pytest.approx(2 / 3, abs=0.01)
    assert policy["2", "y"] == policy["1", "x"]
    assert policy["1", "x"] + policy["1", "y"] == pytest.approx(1)


def test_thompson_sampling_repeats_with_its_seed() -> None:
    first, again, other = (table(thompson("abc", [1, 2, 3], [3, 2, 1], ["1"], draws=999, seed=s)) for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("alpha", "positions", "draws", "said"),
    [
        ([1, 0], ["1"], 10, "not positive"),
        ([1], ["1"], 10, "not positive"),
        ([1, math.inf], ["1"], 10, "not positive"),
        ([1, 1], ["1", "2", "3"], 10, "2 actions cannot fill 3 positions"),
        ([1, 1], ["1"], 0, "0 draws"),
    ],
)
def test_thompson_sampling_refuses_beliefs_without_sense(
    alpha: list[float], positions: list[str], draws: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        thompson(["x", "y"], alpha, [1, 1], positions, draws=draws)


@quick
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)), min_size=1))
def test_combined_codes_agree_where_all_parts_do(rows: list[tuple[int, int, int]]) -> None:
    parts: npt.NDArray[np.int64] = np.array(rows).T
    codes: IntArray = combine(*parts)
    assert sorted(set(codes.tolist())) == list(range(len(set(rows))))
    assert len(set(zip(codes.tolist(), rows, strict=True))) == len(set(rows))


def test_a_column_over_another_vocabulary_keeps_its_labels() -> None:
    column = Column.of(["b", "a", 7]).over(("a", "z"))
    assert column.values[:2] == ("a", "z")
    assert [column.values[code] for code in column.codes] == ["b", "a", "7"]

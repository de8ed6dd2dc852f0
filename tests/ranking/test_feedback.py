"""Feedback: what it takes, what it refuses, and how it is divided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import InputError
from ranking.feedback import NO_FEEDBACK, Feedback

rows = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(0, 1), st.floats(0, 10)), max_size=10, unique_by=lambda row: row[0]
)


def test_judgements() -> None:
    feedback = Feedback.judged(["a", "b"], ["c"])
    assert feedback.ids == ("a", "b", "c")
    assert feedback.relevance.tolist() == [1, 1, 0]
    assert feedback.weight.tolist() == [1, 1, 1]
    assert (feedback.positive.ids, feedback.negative.ids) == (("a", "b"), ("c",))
    assert len(NO_FEEDBACK) == 0


def test_the_same_said_twice_counts_once() -> None:
    feedback = Feedback.of(["a", "b", "a"], [1.0, 0.5, 1.0], [3.0, 1.0, 3.0])
    assert feedback.ids == ("a", "b")
    assert feedback.relevance.tolist() == [1.0, 0.5]
    assert feedback.weight.tolist() == [3.0, 1.0]
    assert len(Feedback.judged(["a", "a"], ["b", "b"])) == 2


@pytest.mark.parametrize(("relevance", "weight"), [([1.0, 0.5, 0.2], None), ([1.0, 0.5, 1.0], [1.0, 1.0, 3.0])])
def test_two_things_about_one_document_are_refused(relevance: list[float], weight: list[float] | None) -> None:
    with pytest.raises(InputError, match="says two things about document 'a'"):
        Feedback.of(["a", "b", "a"], relevance, weight)
    with pytest.raises(InputError, match="says two things about document 'b'"):
        Feedback.judged(["a", "b"], ["b"])


def test_a_grade_is_divided_between_relevant_and_not() -> None:
    feedback = Feedback.of(["a", "b"], [0.75, 0.0], [2.0, 0.5])
    assert feedback.relevant_weight.tolist() == [1.5, 0.0]
    assert feedback.not_relevant_weight.tolist() == [0.5, 0.5]


@given(rows=rows)
def test_nothing_of_a_weight_is_lost(rows: list[tuple[str, float, float]]) -> None:
    feedback = Feedback.of(*zip(*rows, strict=True)) if rows else NO_FEEDBACK
    np.testing.assert_allclose(feedback.relevant_weight + feedback.not_relevant_weight, feedback.weight, atol=1e-12)


@given(rows=rows, order=st.randoms(use_true_random=False))
def test_the_digest_does_not_see_the_order(rows: list[tuple[str, float, float]], order: np.random.Generator) -> None:
    turned = list(rows)
    order.shuffle(turned)  # type: ignore[arg-type]
    if rows:
        assert Feedback.of(*zip(*rows, strict=True)).digest == Feedback.of(*zip(*turned, strict=True)).digest


def test_the_digest_sees_everything_else() -> None:
    feedbacks = [
        NO_FEEDBACK,
        Feedback.of(["a"], [1.0]),
        Feedback.of(["b"], [1.0]),
        Feedback.of(["a"], [0.5]),
        Feedback.of(["a"], [1.0], [0.5]),
        Feedback.of(["\ud800"], [1.0]),
    ]
    assert len({feedback.digest for feedback in feedbacks}) == len(feedbacks)


@pytest.mark.parametrize(
    ("relevance", "weight", "message"),
    [
        ([1.5], None, "outside"),
        ([-0.1], None, "outside"),
        ([float("nan")], None, "outside"),
        ([1.0], [-1.0], "negative or not finite"),
        ([1.0], [float("inf")], "negative or not finite"),
        ([1.0], [float("nan")], "negative or not finite"),
        ([1.0, 0.0], None, "1 documents, 2 relevance"),
        ([1.0], [1.0, 1.0], "and 2 weights"),
    ],
)
def test_values_that_mean_nothing_are_refused(relevance: list[float], weight: list[float] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Feedback.of(["a"], relevance, weight)


def test_grades_by_document() -> None:
    feedback = Feedback.from_grades({"a": 0.25, "b": 1.0})
    assert (feedback.ids, feedback.relevance.tolist()) == (("a", "b"), [0.25, 1.0])

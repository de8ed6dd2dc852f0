"""Folding events into what is believed about each document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events import CLICK_WEIGHT, Event, Mark, as_feedback, fold

KINDS = ["click", "relevant", "not_relevant", "graded", "none"]


def event(document: str, kind: str, relevance: float | None = None) -> Event:
    graded = kind == "graded"
    return Event(
        "q",
        document,
        kind,  # type: ignore[arg-type]
        relevance=(0.25 if relevance is None else relevance) if graded else None,
        weight=2.0 if graded else None,
    )


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["click"], Mark("d", "click", 1.0, CLICK_WEIGHT)),
        (["click", "click"], Mark("d", "click", 1.0, CLICK_WEIGHT)),
        (["relevant"], Mark("d", "relevant", 1.0, 1.0)),
        (["relevant", "not_relevant"], Mark("d", "not_relevant", 0.0, 1.0)),
        (["not_relevant", "relevant"], Mark("d", "relevant", 1.0, 1.0)),
        (["not_relevant", "click"], Mark("d", "not_relevant", 0.0, 1.0)),
        (["click", "not_relevant"], Mark("d", "not_relevant", 0.0, 1.0)),
        (["relevant", "graded"], Mark("d", "graded", 0.25, 2.0)),
        (["graded", "click"], Mark("d", "graded", 0.25, 2.0)),
        (["graded", "relevant"], Mark("d", "relevant", 1.0, 1.0)),
    ],
)
def test_what_wins(kinds: list[str], expected: Mark) -> None:
    assert fold(event("d", kind) for kind in kinds) == {"d": expected}


def test_none_takes_back() -> None:
    assert fold([event("d", "relevant"), event("d", "none")]) == {}
    assert fold([event("d", "none")]) == {}
    assert fold([event("d", "not_relevant"), event("d", "none"), event("d", "click")])["d"].kind == "click"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(KINDS)), max_size=30))
def test_each_document_has_its_last_judgement_or_else_its_click(acts: list[tuple[str, str]]) -> None:
    marks = fold(event(document, kind) for document, kind in acts)
    for document in "abc":
        kinds = [kind for name, kind in acts if name == document]
        since = kinds[len(kinds) - kinds[::-1].index("none") :] if "none" in kinds else kinds
        judged = [kind for kind in since if kind != "click"]
        assert (document in marks) == bool(since)
        if since:
            assert marks[document].kind == (judged[-1] if judged else "click")


@pytest.mark.parametrize(
    ("relevance", "label"), [(0.0, "not_relevant"), (0.5, "not_relevant"), (0.51, "relevant"), (1.0, "relevant")]
)
def test_the_label_of_graded_feedback(relevance: float, label: str) -> None:
    assert fold([event("d", "graded", relevance)])["d"].label == label


def test_as_feedback() -> None:
    feedback = as_feedback(fold([event("a", "click"), event("b", "not_relevant")]).values())
    assert feedback.ids == ("a", "b")
    assert feedback.relevance.tolist() == [1.0, 0.0]
    assert feedback.weight.tolist() == [CLICK_WEIGHT, 1.0]
    assert len(as_feedback([])) == 0

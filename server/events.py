"""What people do with a result page, and what a ranking may learn from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ranking.feedback import Feedback

MarkKind: TypeAlias = Literal["click", "relevant", "not_relevant", "graded", "skipped"]
"""`graded` is feedback that came inline with a search: its relevance and weight are its own. `skipped` documents were
shown among clicked ones and left alone; only `server.clicking` says so."""

EventKind: TypeAlias = Literal["click", "relevant", "not_relevant", "graded", "none"]
"""`none` takes back whatever was said about the document before."""

CLICK_WEIGHT: Final = 0.5
"""How much a click counts beside a judgement where clicks are not debiased."""

_GRADES: Final = {"click": (1.0, CLICK_WEIGHT), "relevant": (1.0, 1.0), "not_relevant": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Event:
    """One act on one document of one query. `position` is its 1-based rank on the page; a repeated `idempotency_key`
    is the same event sent again. `relevance` and `weight` are set for the kind `graded` and None for the others. An
    event says whose it is where its page may not know that; whoever it names, it is the same event, as pseudonyms
    change.
    """

    query_id: str
    document: str
    kind: EventKind
    position: int | None = None
    dwell_ms: int | None = None
    idempotency_key: str | None = None
    relevance: float | None = None
    weight: float | None = None
    session_id: str | None = field(default=None, compare=False)
    client_id: str | None = field(default=None, compare=False)
    user_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is believed about one document after all its events: relevance in [0, 1] and weight >= 0."""

    document: str
    kind: MarkKind
    relevance: float
    weight: float

    @property
    def label(self) -> Literal["click", "relevant", "not_relevant"]:
        """The mark in the words of the page: a graded document is relevant when more likely so than not."""
        if self.kind == "graded" or self.kind == "skipped":
            return "relevant" if self.relevance > 0.5 else "not_relevant"
        return self.kind


def fold(events: Iterable[Event]) -> dict[str, Mark]:
    """The mark of every document, from the events of one query in the order in which they came.

    A judgement overrides clicks, earlier or later; among judgements the last one wins; `none` starts over.
    """
    marks: dict[str, Mark] = {}
    for event in events:
        if event.kind == "none":
            marks.pop(event.document, None)
            continue
        before = marks.get(event.document)
        if event.kind == "click" and before is not None and before.kind != "click":
            continue
        relevance, weight = _GRADES.get(event.kind, (event.relevance or 0.0, _weight(event)))
        marks[event.document] = Mark(event.document, event.kind, relevance, weight)
    return marks


def _weight(event: Event) -> float:
    return 1.0 if event.weight is None else event.weight


def as_feedback(marks: Iterable[Mark]) -> Feedback:
    """The marks as the feedback that a ranker reads."""
    kept = list(marks)
    return Feedback.of((m.document for m in kept), [m.relevance for m in kept], [m.weight for m in kept])

"""What the store keeps, in the words of its callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from index.types import Ranking
from server.events import Mark


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A question asked of one index; `filter` in its text form."""

    id: str
    index: str
    text: str
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One ranking of a query and what made it. Rounds count from 1; the store gives the number.

    `score_kind` says what the scores are, `feedback` what the ranking knew; `stages` holds the ranking of every stage
    where that was asked for, `took_ms` how long the pipeline took.
    """

    ranking: Ranking
    pipeline: str
    version: str
    generation: str
    score_kind: str
    feedback: tuple[Mark, ...] = ()
    stages: Mapping[str, Ranking] | None = None
    number: int = 0
    took_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What was shown of a ranking, to whom: the documents from `offset` (0-based) on, in their order.

    `arm` names the experiment that made the page, if there was one; `propensities` are the probabilities with which it
    put each document there, and `credits` what a click on each counts in a duel.
    """

    offset: int
    documents: tuple[str, ...]
    session_id: str | None = None
    user_id: str | None = None
    arm: str | None = None
    propensities: tuple[float, ...] | None = None
    credits: tuple[float, ...] | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows were removed of each kind."""

    queries: int = 0
    rankings: int = 0
    impressions: int = 0
    events: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            self.queries + other.queries,
            self.rankings + other.rankings,
            self.impressions + other.impressions,
            self.events + other.events,
        )

"""The one contract: requests in, rankings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from index.types import Query, Ranking
from ranking.feedback import NO_FEEDBACK, Feedback


@dataclass(frozen=True, slots=True)
class Request:
    """One query to rank for.

    `candidates` restricts the answer to these documents (a re-ranker orders exactly them); None means that the ranker
    retrieves on its own. `exclude_feedback` leaves the feedback documents out of the answer (the residual collection
    of an evaluation); otherwise they are ranked like any other. `limit` is the most documents wanted, None for the
    ranker's own depth.
    """

    query: Query
    feedback: Feedback = NO_FEEDBACK
    candidates: Ranking | None = None
    exclude_feedback: bool = False
    limit: int | None = None


@runtime_checkable
class Ranker(Protocol):
    """`rank` takes n requests and returns n rankings, in their order.

    Promises that every ranker keeps (`tests/ranking/contract.py` checks them): the answer holds only documents of the
    index, or of `request.candidates` where given; scores descend and ties are ordered by id; the same request gives
    the same answer; no feedback and no candidates are both fine; `exclude_feedback` is honoured.
    """

    def rank(self, requests: Sequence[Request]) -> list[Ranking]: ...

"""Dense retrieval with Rocchio in embedding space: feedback moves the query to where the relevant documents lie.

Rocchio, "Relevance feedback in information retrieval" (1971), on vectors as in Li et al., "Pseudo Relevance Feedback
with Deep Language Models and Dense Retrievers" (TOIS 2023). As it searches the whole index again, it brings in
documents that share no word with the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from index.types import Ranking
from ranking.context import Context, Space
from ranking.contract import Request
from ranking.options import number
from ranking.vectors import Examples, Linear, rank_by, unit


@dataclass(frozen=True)
class Dense:
    """score(d) = cosine to alpha * query + beta * mean of the relevant - gamma * mean of those not relevant."""

    needs_vectors: ClassVar[bool] = True

    alpha: float = number(1.0, low=0.0)
    beta: float = number(2.0, low=0.0)
    gamma: float = number(0.1, low=0.0)
    space: Space = "conditioned"
    depth: int = number(1000, low=1)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        queries = context.query_vectors([request.query for request in requests], self.space).astype(np.float64)
        scorers = []
        for query, request in zip(queries, requests, strict=True):
            examples = Examples.of(request.feedback, context, self.space)
            wanted = self.alpha * query + self.beta * examples.relevant_mean()
            scorers.append(Linear(unit(wanted - self.gamma * examples.not_relevant_mean())))
        return rank_by(scorers, requests, context, space=self.space, depth=self.depth)

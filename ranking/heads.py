"""What rankers that look closely at the head of the candidates have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from index.types import Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.expansion import Rocchio


def with_candidates(requests: Sequence[Request], context: Context, depth: int) -> list[tuple[Request, Ranking]]:
    """The requests with what is to be ordered for them: their candidates, or else those of expanded BM25. A small limit
    does not make the candidates fewer."""
    asking = [
        replace(r, exclude_feedback=False, limit=wanted if (wanted := r.depth(depth)) > depth else None)
        for r in requests
        if r.candidates is None
    ]
    found = iter(Rocchio(depth=depth).rank(asking, context))
    return [(r, next(found) if r.candidates is None else r.candidates) for r in requests]


def reordered(request: Request, candidates: Ranking, scores: Mapping[str, float]) -> Ranking:
    """The answer with the head of the candidates by its scores (one for each of its documents, and at least one), then
    the others as they came, below."""
    rest = candidates.ids[len(scores) :]
    below = min(scores.values()) - np.arange(1.0, len(rest) + 1.0)
    return request.answer(Ranking.of([*scores, *rest], [*scores.values(), *below.tolist()]))

"""What rankers that look closely at the head of the candidates have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from index.types import Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.expansion import Rocchio

if TYPE_CHECKING:
    from ranking.learning.adaptation import Adapted
    from ranking.learning.cache import BytesCache
    from ranking.learning.delta import Delta
    from ranking.learning.pair import Pair


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


def key_of(how: object, pairs: Iterable[Pair], *numbers: npt.NDArray[np.floating]) -> bytes:
    """A hash of all that decides a delta: the options of the adaptation, the texts, and what is known of them."""
    whole = hashlib.blake2b(repr(how).encode(), digest_size=16)
    for pair in pairs:
        whole.update(pair.key)
    for part in numbers:
        whole.update(part.tobytes())
    return whole.digest()


def fitted(deltas: BytesCache[bytes, Delta], key: bytes, context: Context, fit: Callable[[], Adapted]) -> Delta:
    """The delta that is remembered under `key`, or the one that `fit` gives now. What the deadline cut short, or what
    failed, is noted and not remembered."""
    if (known := deltas.get(key)) is not None:
        return known
    adapted = fit()
    if adapted.ended in ("deadline", "not finite"):
        context.degrade("deadline" if adapted.ended == "deadline" else "adaptation failed")
    else:
        deltas.put(key, adapted.delta)
    return adapted.delta

"""What a cross-encoder reads for one request, and the prior that is added to what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from index.types import Ranking
from ranking.context import Vectors
from ranking.contract import Request
from ranking.feedback import FloatArray
from ranking.heads import reordered
from ranking.probe import Probe

if TYPE_CHECKING:
    from ranking.learning.adaptation import Adaptation, Support
    from ranking.learning.delta import Delta
    from ranking.learning.pair import Pair

PROBE = Probe()
"""Where the prior that adapts comes from: its scale, its precision, its space."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is read for one request: the head of its candidates and the feedback, as the pieces of their texts."""

    request: Request
    candidates: Ranking
    ids: list[str]
    feedback: list[str]
    pieces: dict[str, list[Pair]]
    prior: Prior

    @property
    def pairs(self) -> list[Pair]:
        return list({pair.key: pair for pieces in self.pieces.values() for pair in pieces}.values())

    def ranking(self, logits: Mapping[bytes, float], prior: Mapping[str, float]) -> Ranking:
        """The head by its best pieces and its prior, then the other candidates as they came, below."""
        scores = {doc: max(logits[pair.key] for pair in self.pieces[doc]) + prior[doc] for doc in self.ids}
        return reordered(self.request, self.candidates, scores)

    def support(self, best: dict[str, Pair], how: Adaptation) -> Support:
        from ranking.learning.adaptation import Support

        feedback, prior = self.request.feedback, self.prior
        row = {doc: i for i, doc in enumerate(feedback.ids)}
        rows = [row[doc] for doc in self.feedback]
        offset: FloatArray = np.array([prior.after[doc] for doc in self.feedback])
        vectors = np.stack([prior.vectors[doc] for doc in self.feedback]) if prior.vectors and how.exact else None
        pairs = [best[doc] for doc in self.feedback]
        return Support(pairs, offset, feedback.relevance[rows], feedback.weight[rows], vectors, PROBE.precision)


@dataclass(frozen=True, slots=True)
class Prior:
    """What is added to the logits: without feedback, with it, and the vectors in which it is linear (none: it does not
    adapt any further). By document."""

    before: dict[str, float]
    after: dict[str, float]
    vectors: dict[str, Vectors]

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        before: npt.NDArray[np.floating],
        after: npt.NDArray[np.floating] | None = None,
        vectors: Vectors | None = None,
    ) -> Prior:
        plain = dict(zip(ids, before.tolist(), strict=True))
        moved = plain if after is None else dict(zip(ids, after.tolist(), strict=True))
        return cls(plain, moved, {} if vectors is None else dict(zip(ids, vectors, strict=True)))

    def changed(self, delta: Delta) -> dict[str, float]:
        """The prior after adaptation, for every document."""
        from ranking.learning.adaptation import PRIOR

        if PRIOR not in delta.tensors:
            return self.after
        change = delta.tensors[PRIOR].double().numpy()
        return {doc: score + float(self.vectors[doc] @ change) for doc, score in self.after.items()}

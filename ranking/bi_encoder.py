"""The bi-encoder as a ranker: the index's own sentence encoder, adapted to the feedback on this query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from index.types import Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.heads import fitted, key_of, reordered, with_candidates
from ranking.options import number

if TYPE_CHECKING:
    from ranking.learning.bi_encoder import BiAdaptation, BiEncoder, Evidence
    from ranking.learning.delta import Delta

Changes: TypeAlias = Literal["biases", "norms", "lora", "all"]


@dataclass(frozen=True)
class BiEncoderRanker:
    """score(d) = cos(query, d), both encoded by the model as the feedback has changed it; without feedback, by the
    index's vectors.

    adapt, layers, epochs, rate: what of the model changes, in how many of the top layers, in how many steps of AdamW at
        which learning rate, see `ranking.learning.bi_encoder`.
    scale: what a cosine is multiplied by to become a logit.
    depth: how many documents of the candidates it encodes anew, from the top; the others follow in the order in which
        they came.
    max_tokens: how much of a text it reads, at most as much as the index's encoder.
    deadline_ms: after so many milliseconds the best answer so far is given: a shorter adaptation, or the order by the
        index's vectors.

    It works with encoders of BERT's shape, whatever the index was built with; their checksum is in the index's
    manifest, and so in a pipeline's version. Without candidates it takes those of expanded BM25.
    """

    needs_vectors: ClassVar[bool] = True

    adapt: Changes = "biases"
    layers: int = number(2, low=1)
    epochs: int = number(8, low=1, high=1000)
    rate: float = number(2e-3, low=1e-8, high=1.0)
    scale: float = number(20.0, low=1e-3)
    depth: int = number(100, low=1)
    max_tokens: int = number(256, low=8, high=100_000)
    deadline_ms: float | None = number(None, low=0.0)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        return [after for _, after in self.rank_both(requests, context)]

    def rank_both(self, requests: Sequence[Request], context: Context) -> list[tuple[Ranking, Ranking]]:
        """For each request the ranking by the index's vectors, and after adaptation (the same without feedback)."""
        from ranking.learning.bi_encoder import bi_encoder

        end = context.until(self.deadline_ms)
        model = bi_encoder(context.encoder(), self.max_tokens)
        reading = _Reading(self, model, context, end)
        return [reading.answers(*asked) for asked in with_candidates(requests, context, self.depth)]

    def how(self) -> BiAdaptation:
        """The adaptation that the options describe."""
        from ranking.learning.bi_encoder import BiAdaptation

        return BiAdaptation(self.adapt, self.layers, self.epochs, self.rate, self.scale)


class _Reading:
    """One call of the ranker."""

    def __init__(self, ranker: BiEncoderRanker, model: BiEncoder, context: Context, deadline: float | None) -> None:
        self.model, self.context, self.deadline = model, context, deadline
        self.depth, self.how = ranker.depth, ranker.how()

    def answers(self, request: Request, candidates: Ranking) -> tuple[Ranking, Ranking]:
        """Before and after. A query that says nothing has no cosines: its candidates stay as they are."""
        context = self.context
        ids = candidates.ids[: self.depth]
        if not ids or not context.terms(request.query):
            answer = request.answer(candidates)
            return answer, answer
        query = context.query_vectors([request.query], "raw")[0]
        cosines = context.vectors.take(ids, "raw") @ query
        before = reordered(request, candidates, dict(zip(ids, cosines.tolist(), strict=True)))
        feedback, weights = request.feedback, request.feedback.weight
        # In the order of their ids: what comes out shall not depend on the clicks' order.
        rows = [i for i in np.argsort(feedback.ids) if weights[i] > 0 and feedback.ids[i] in context.lexical]
        if not rows:
            return before, before
        try:
            after = self._adapted(request, ids, rows)
        except TimeoutError:  # the answer before adaptation is there
            context.degrade("deadline")
            return before, before
        return before, before if after is None else reordered(request, candidates, after)

    def _adapted(self, request: Request, ids: Sequence[str], rows: Sequence[int]) -> dict[str, float] | None:
        """The cosines of the adapted model; None where the feedback has changed nothing."""
        from ranking.learning.bi_encoder import Evidence
        from ranking.learning.engine import remaining

        feedback, engine = request.feedback, self.model.engine
        judged = [feedback.ids[i] for i in rows]
        both = list(dict.fromkeys([*ids, *judged]))
        documents = self.context.lexical.documents(both)
        contents = [document.contents if document else "" for document in documents]
        query, *texts = self.model.texts([request.query.text, *contents])
        pair = dict(zip(both, texts, strict=True))
        wanted = [query, *(pair[doc] for doc in ids)]
        cut = self.how.cut(engine.layers)
        below = engine.states([*wanted, *(pair[doc] for doc in judged)], cut, timeout=remaining(self.deadline))
        evidence = Evidence(query, [pair[doc] for doc in judged], feedback.relevance[rows], feedback.weight[rows])
        delta = self._delta(evidence)
        if not delta.tensors:
            return None
        vectors = engine.pooled(wanted, below[: len(wanted)], cut, delta, remaining(self.deadline))
        return {doc: float(vector @ vectors[0]) for doc, vector in zip(ids, vectors[1:], strict=True)}

    def _delta(self, evidence: Evidence) -> Delta:
        """The delta for this query and its feedback, remembered under all that decides it."""
        from ranking.learning.bi_encoder import adapt

        engine = self.model.engine
        key = key_of(self.how, evidence.everything, evidence.relevance, evidence.weight)
        return fitted(
            engine.deltas, key, self.context, lambda: adapt(engine, evidence, self.how, deadline=self.deadline)
        )

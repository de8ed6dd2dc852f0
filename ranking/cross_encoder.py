"""The cross-encoder as a ranker: query and text read together, zero-shot or adapted to the feedback on this query."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from index.errors import UnavailableError
from index.types import Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.cross_encoder_head import PROBE, Head, Prior
from ranking.heads import fitted, key_of, with_candidates
from ranking.options import number
from ranking.vectors import Examples

if TYPE_CHECKING:
    from torch import Tensor

    from ranking.learning.adaptation import Adaptation
    from ranking.learning.delta import Delta
    from ranking.learning.engine import Engine
    from ranking.learning.pair import Pair

Adapts: TypeAlias = Literal["none", "head", "biases", "norms", "lora", "all", "paper"]


@dataclass(frozen=True)
class CrossEncoderRanker:
    """score(d) = logit of (query, d) + prior of d.

    model: "clickwise-minilm", a hub name, a model's directory, or the delta.safetensors of a training.
    prior: "dense" is the model's own scale times cos(query, d) of raw vectors. "probe" is linear in the conditioned
        vector of d as in the `probe` ranker, and is solved for in one with the head, each correcting what the other
        leaves. "none" is nothing, as on an index without vectors.
    adapt: what of the model is adapted to the feedback, see `ranking.learning.adaptation`; "paper" is the recipe of
        Baumgärtner et al. (EMNLP 2022). With "none" feedback is ignored.
    layers, epochs, rate: of the gradient steps, if any.
    head_precision: how strongly the exactly solved head is drawn to the model's own.
    depth: how many documents of the candidates it reads, from the top; the others follow in the order in which they
        came.
    max_tokens: of query and text together; passages: a longer text is read in up to so many pieces, and the best
        counts.
    deadline_ms: after so many milliseconds the best answer so far is given: a shorter adaptation, the model before
        adaptation, or the candidates as they came.
    warm: go on from the delta that this query had last, in half the epochs. Quicker after each further click, but what
        comes out then depends on the clicks' order; the exactly solved head does not.

    Without candidates it takes those of expanded BM25.
    """

    needs_vectors: ClassVar[bool] = False

    model: str = "clickwise-minilm"
    adapt: Adapts = "head"
    prior: Literal["probe", "dense", "none"] = "probe"
    layers: int = number(2, low=1)
    epochs: int = number(4, low=1, high=1000)
    rate: float = number(2e-3, low=0.0, high=1.0)
    objective: Literal["binary", "pairwise", "listwise"] = "binary"
    depth: int = number(100, low=1)
    max_tokens: int = number(256, low=32, high=100_000)
    passages: int = number(1, low=1, high=100)
    deadline_ms: float | None = number(None, low=0.0)
    warm: bool = False
    head_precision: float = number(100.0, low=1e-3)

    @property
    def fingerprint(self) -> str:
        """What decides the answers beside the options: the weights."""
        from ranking.learning.cross_encoder import fingerprint

        return fingerprint(self.model)

    def load(self) -> None:
        """Have the model ready. Raises as `load_cross_encoder` does."""
        from ranking.learning.cross_encoder import fingerprint
        from ranking.learning.engines import engine

        engine(self.model, self.max_tokens)
        fingerprint(self.model)  # every answer's version holds it: the first one would have to read all weights

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        return [after for _, after in self.rank_both(requests, context)]

    def rank_both(self, requests: Sequence[Request], context: Context) -> list[tuple[Ranking, Ranking]]:
        """For each request the ranking before adaptation, and after it (the same where nothing is adapted)."""
        from ranking.learning.engines import engine

        end = context.until(self.deadline_ms)
        reading = _Reading(self, engine(self.model, self.max_tokens), context, end)
        return reading.rank(with_candidates(requests, context, self.depth))

    def how(self) -> Adaptation | None:
        """The adaptation that the options describe."""
        from ranking.learning.adaptation import PAPER, Adaptation

        if self.adapt == "none":
            return None
        if self.adapt == "paper":
            return replace(PAPER, rate=self.rate)
        return Adaptation(
            tuned=self.adapt,
            layers=self.layers,
            epochs=self.epochs,
            rate=self.rate,
            objective=self.objective,
            precision=self.head_precision,
        )


class _Reading:
    """One call of the ranker: all its requests' texts go to the engine together."""

    def __init__(self, ranker: CrossEncoderRanker, engine: Engine, context: Context, deadline: float | None) -> None:
        self.ranker, self.engine, self.context, self.deadline = ranker, engine, context, deadline
        self.how = ranker.how()
        self.cut = self._cut()

    def rank(self, asked: Sequence[tuple[Request, Ranking]]) -> list[tuple[Ranking, Ranking]]:
        from ranking.learning.engine import remaining

        heads = [self._head(request, candidates) for request, candidates in asked]
        pairs = [pair for head in heads for pair in head.pairs]
        try:
            pooled = self.engine.states(pairs, keep=self.cut, timeout=remaining(self.deadline))
        except TimeoutError:
            self.context.degrade("deadline")
        except UnavailableError:  # the engine is there, but could not
            self.context.degrade("model failed")
        else:
            states = dict(zip((pair.key for pair in pairs), pooled, strict=True))
            return [self._answers(head, states) for head in heads]
        return [(answer, answer) for answer in (request.answer(ranking) for request, ranking in asked)]

    def _cut(self) -> int | None:
        """The layer below which states are kept for adaptation; None where none changes."""
        from ranking.learning.adaptation import cut_of

        if self.how is None or self.how.tuned == "head":
            return None
        return cut_of(self.how, self.engine.layers)

    def _head(self, request: Request, candidates: Ranking) -> Head:
        """What is to be read for one request: nothing where the query says nothing, for then no text answers it."""
        context, ranker = self.context, self.ranker
        given = zip(request.feedback.ids, request.feedback.weight, strict=True)
        feedback = [doc for doc, weight in given if weight > 0 and doc in context.lexical] if self.how else []
        ids = list(candidates.ids[: ranker.depth]) if context.terms(request.query) else []
        both = list(dict.fromkeys([*ids, *feedback])) if ids else []
        texts = [document.contents if document else "" for document in context.lexical.documents(both)]
        cut, pieces = self.engine.model.tokenizer.passages(request.query.text, texts, ranker.passages)
        if cut:
            context.truncated += cut
        prior = self._prior(request, both)
        return Head(request, candidates, ids, feedback, dict(zip(both, pieces, strict=True)), prior)

    def _prior(self, request: Request, ids: Sequence[str]) -> Prior:
        """What is added to the logits of documents; nothing where there is no prior to have."""
        context, kind, scale = self.context, self.ranker.prior, self.engine.model.scale
        nothing = Prior.of(ids, np.zeros(len(ids)))
        if kind == "none" or not ids or context.view.vectors is None:
            return nothing
        if kind == "dense":
            if not scale:
                return nothing
            query = context.query_vectors([request.query], "raw")[0]
            return Prior.of(ids, scale * (context.vectors.take(ids, "raw") @ query))
        query = context.query_vectors([request.query], PROBE.space)[0].astype(np.float64)
        vectors = context.vectors.take(ids, PROBE.space)
        examples = Examples.of(request.feedback, context, PROBE.space)
        before, after = (PROBE.prior_scale * PROBE.prior_mean(query, some) for some in (examples.none(), examples))
        return Prior.of(ids, vectors @ before, vectors @ after, vectors)

    def _answers(self, head: Head, states: Mapping[bytes, Tensor]) -> tuple[Ranking, Ranking]:
        """Before and after, from the pooled vectors of the pairs by their keys."""
        if not head.ids:
            answer = head.request.answer(head.candidates)
            return answer, answer
        pairs = head.pairs
        logits = self._logits(pairs, [states[pair.key] for pair in pairs])
        before = head.ranking(logits, head.prior.before)
        if self.how is None or not head.feedback:
            return before, before
        best = {doc: max(head.pieces[doc], key=lambda p: logits[p.key]) for doc in head.feedback}
        try:
            delta = self._delta(head, best)
            if not delta.tensors:
                return before, before
            return before, head.ranking(self._adapted_logits(head, states, delta), head.prior.changed(delta))
        except TimeoutError:  # the answer before adaptation is there
            self.context.degrade("deadline")
            return before, before
        except UnavailableError:
            self.context.degrade("model failed")
            return before, before

    def _adapted_logits(self, head: Head, states: Mapping[bytes, Tensor], delta: Delta) -> dict[bytes, float]:
        from ranking.learning.engine import remaining

        wanted = [pair for doc in head.ids for pair in head.pieces[doc]]
        if self.cut is None:
            return self._logits(wanted, [states[pair.key] for pair in wanted], delta)
        below = self.engine.states(wanted, self.cut, timeout=remaining(self.deadline))
        pooled = self.engine.pooled(wanted, below, self.cut, delta, remaining(self.deadline))
        return self._logits(wanted, pooled, delta)

    def _logits(
        self, pairs: Sequence[Pair], pooled: Sequence[Tensor], delta: Delta | None = None
    ) -> dict[bytes, float]:
        """The logit of each pair by its key, from its pooled vector."""
        scores = self.engine.logits(pooled, delta).tolist()
        return dict(zip((pair.key for pair in pairs), scores, strict=True))

    def _delta(self, head: Head, best: dict[str, Pair]) -> Delta:
        """The delta for this query and its feedback, remembered under all that decides it."""
        from ranking.learning.adaptation import adapt, warmer

        how, deltas = self.how, self.engine.deltas
        assert how is not None
        support = head.support(best, how)
        numbers = (support.offset, support.relevance, support.weight, support.vectors)
        key = key_of(how, support.pairs, *(part for part in numbers if part is not None))
        if not self.ranker.warm:
            return fitted(deltas, key, self.context, lambda: adapt(self.engine, support, how, deadline=self.deadline))
        latest = hashlib.blake2b(f"{how} {head.request.query.text}".encode("utf-8", "replace")).digest()
        start = deltas.get(latest)
        shorter = how if start is None else warmer(how)
        delta = fitted(
            deltas, key, self.context, lambda: adapt(self.engine, support, shorter, deadline=self.deadline, start=start)
        )
        if deltas.get(key) is delta:
            deltas.put(latest, delta)
        return delta

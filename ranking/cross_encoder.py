"""The cross-encoder as a ranker: query and text read together, zero-shot or adapted to the feedback on this query."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from index.types import Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.expansion import Rocchio
from ranking.feedback import FloatArray
from ranking.options import number

if TYPE_CHECKING:
    from torch import Tensor

    from ranking.learning.adaptation import Adaptation, Support
    from ranking.learning.delta import Delta
    from ranking.learning.engine import Engine
    from ranking.learning.pair import Pair

Adapts: TypeAlias = Literal["none", "head", "biases", "norms", "lora", "all", "paper"]


@dataclass(frozen=True)
class CrossEncoderRanker:
    """score(d) = logit of (query, d), plus where `prior` is "dense" the model's scale times cos(query, d).

    model: "clickwise-minilm", a hub name, a model's directory, or the delta.safetensors of a training.
    adapt: what of the model is adapted to the feedback, see `ranking.learning.adaptation`; "paper" is the recipe of
        Baumgärtner et al. (EMNLP 2022). With "none" feedback is ignored.
    layers, epochs, rate: of the gradient steps, if any.
    depth: how many documents of the candidates it reads, from the top; the others follow in the order in which they
    came. max_tokens: of query and text together; passages: a longer text is read in up to so many pieces, and the best
    counts. deadline_ms: after so many milliseconds the best answer so far is given: a shorter adaptation, the model
    before
        adaptation, or the candidates as they came.

    Without candidates it takes those of expanded BM25.
    """

    needs_vectors: ClassVar[bool] = False

    model: str = "clickwise-minilm"
    adapt: Adapts = "none"
    prior: Literal["dense", "none"] = "dense"
    layers: int = number(2, low=1)
    epochs: int = number(4, low=1, high=1000)
    rate: float = number(2e-3, low=0.0, high=1.0)
    objective: Literal["binary", "pairwise", "listwise"] = "binary"
    depth: int = number(100, low=1)
    max_tokens: int = number(256, low=32, high=100_000)
    passages: int = number(1, low=1, high=100)
    deadline_ms: float | None = None

    @property
    def fingerprint(self) -> str:
        """What decides the answers beside the options: the weights."""
        from ranking.learning.cross_encoder import fingerprint

        return fingerprint(self.model)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        return [after for _, after in self.rank_both(requests, context)]

    def rank_both(self, requests: Sequence[Request], context: Context) -> list[tuple[Ranking, Ranking]]:
        """For each request the ranking before adaptation, and after it (the same where nothing is adapted)."""
        from ranking.learning.engines import engine

        end = None if self.deadline_ms is None else time.perf_counter() + self.deadline_ms / 1000
        reading = _Reading(self, engine(self.model, self.max_tokens), context, end)
        return reading.rank(self._with_candidates(requests, context))

    def how(self) -> Adaptation | None:
        """The adaptation that the options describe."""
        from ranking.learning.adaptation import PAPER, Adaptation

        if self.adapt == "none":
            return None
        if self.adapt == "paper":
            return replace(PAPER, rate=self.rate)
        return Adaptation(
            tuned=self.adapt, layers=self.layers, epochs=self.epochs, rate=self.rate, objective=self.objective
        )

    def _with_candidates(self, requests: Sequence[Request], context: Context) -> list[tuple[Request, Ranking]]:
        asking = [request for request in requests if request.candidates is None]
        found = iter(Rocchio(depth=self.depth).rank([replace(r, exclude_feedback=False) for r in asking], context))
        return [(r, next(found) if r.candidates is None else r.candidates) for r in requests]


class _Reading:
    """One call of the ranker: all its requests' texts go to the engine together."""

    def __init__(self, ranker: CrossEncoderRanker, engine: Engine, context: Context, deadline: float | None) -> None:
        self.ranker, self.engine, self.context, self.deadline = ranker, engine, context, deadline
        self.how = ranker.how()
        self.cut = self._cut()

    def rank(self, asked: Sequence[tuple[Request, Ranking]]) -> list[tuple[Ranking, Ranking]]:
        from ranking.learning.engine import remaining

        heads = [self._head(request, candidates) for request, candidates in asked]
        try:
            self.engine.states(
                [pair for head in heads for pair in head.pairs], keep=self.cut, timeout=remaining(self.deadline)
            )
        except TimeoutError:
            self.context.degrade("deadline")
            return [(answer, answer) for answer in (request.answer(ranking) for request, ranking in asked)]
        return [self._answers(head) for head in heads]

    def _cut(self) -> int | None:
        """The layer below which states are kept for adaptation; None where none changes."""
        from ranking.learning.adaptation import cut_of

        if self.how is None or self.how.tuned == "head":
            return None
        return cut_of(self.how, self.engine.layers)

    def _head(self, request: Request, candidates: Ranking) -> _Head:
        """What is to be read for one request: nothing where neither query nor feedback says anything."""
        context, ranker = self.context, self.ranker
        silent = not context.terms(request.query)
        feedback = [] if self.how is None else [doc for doc in request.feedback.ids if doc in context.lexical]
        ids = [] if silent and not feedback else list(candidates.ids[: ranker.depth])
        both = list(dict.fromkeys([*ids, *feedback]))
        texts = [document.contents if document else "" for document in context.lexical.documents(both)]
        cut, pieces = self.engine.model.tokenizer.passages(request.query.text, texts, ranker.passages)
        if cut:
            context.truncated += cut
        return _Head(
            request, candidates, ids, feedback, dict(zip(both, pieces, strict=True)), self._priors(request, both)
        )

    def _priors(self, request: Request, ids: Sequence[str]) -> dict[str, float]:
        """The scaled cosine of each document, zero where there is no prior to have."""
        context, scale = self.context, self.engine.model.scale
        if self.ranker.prior == "none" or not scale or context.view.vectors is None or not ids:
            return dict.fromkeys(ids, 0.0)
        query = context.query_vectors([request.query], "raw")[0]
        return dict(zip(ids, (scale * (context.vectors.take(ids, "raw") @ query)).tolist(), strict=True))

    def _answers(self, head: _Head) -> tuple[Ranking, Ranking]:
        if not head.ids:
            answer = head.request.answer(head.candidates)
            return answer, answer
        pooled = self.engine.states(head.pairs)
        states = dict(zip((pair.key for pair in head.pairs), pooled, strict=True))
        logits = dict(zip(states, self.engine.logits(list(states.values())).tolist(), strict=True))
        before = head.ranking(
            {doc: max(logits[p.key] for p in head.pieces[doc]) + head.priors[doc] for doc in head.ids}
        )
        if self.how is None or not head.feedback:
            return before, before
        best = {doc: max(head.pieces[doc], key=lambda p: logits[p.key]) for doc in head.feedback}
        delta = self._delta(head, best)
        after = self._adapted_logits(head, states, delta) if delta.tensors else logits
        scores = {doc: max(after[p.key] for p in head.pieces[doc]) + head.priors[doc] for doc in head.ids}
        return before, head.ranking(scores)

    def _adapted_logits(self, head: _Head, states: dict[bytes, Tensor], delta: Delta) -> dict[bytes, float]:
        from ranking.learning.engine import remaining

        keys, pooled = list(states), list(states.values())
        if self.cut is not None:
            wanted = [pair for doc in head.ids for pair in head.pieces[doc]]
            below = self.engine.states(wanted, self.cut)
            try:
                pooled = self.engine.pooled(wanted, below, self.cut, delta, remaining(self.deadline))
                keys = [pair.key for pair in wanted]
            except TimeoutError:  # the answer before adaptation is there
                self.context.degrade("deadline")
                return dict(zip(states, self.engine.logits(list(states.values())).tolist(), strict=True))
        return dict(zip(keys, self.engine.logits(pooled, delta).tolist(), strict=True))

    def _delta(self, head: _Head, best: dict[str, Pair]) -> Delta:
        """The delta for this query and its feedback, remembered under all that decides it."""
        from ranking.learning.adaptation import adapt

        assert self.how is not None
        support = head.support(best)
        key = self._key(support)
        if (known := self.engine.deltas.get(key)) is not None:
            return known
        adapted = adapt(self.engine, support, self.how, deadline=self.deadline)
        if adapted.ended in ("deadline", "not finite"):
            self.context.degrade("deadline" if adapted.ended == "deadline" else "adaptation failed")
        else:
            self.engine.deltas.put(key, adapted.delta)
        return adapted.delta

    def _key(self, support: Support) -> bytes:
        whole = hashlib.blake2b(repr(self.how).encode(), digest_size=16)
        for pair in support.pairs:
            whole.update(pair.key)
        for numbers in (support.offset, support.relevance, support.weight):
            whole.update(numbers.tobytes())
        return whole.digest()


@dataclass(frozen=True, slots=True)
class _Head:
    """What is read for one request: the head of its candidates and the feedback, as the pieces of their texts."""

    request: Request
    candidates: Ranking
    ids: list[str]
    feedback: list[str]
    pieces: dict[str, list[Pair]]
    priors: dict[str, float]

    @property
    def pairs(self) -> list[Pair]:
        return list({pair.key: pair for pieces in self.pieces.values() for pair in pieces}.values())

    def ranking(self, scores: dict[str, float]) -> Ranking:
        """The head by its scores, then the other candidates as they came, below."""
        rest = self.candidates.ids[len(self.ids) :]
        least = min(scores.values())
        values = [*(scores[doc] for doc in self.ids), *(least - np.arange(1.0, len(rest) + 1.0)).tolist()]
        return self.request.answer(Ranking.of([*self.ids, *rest], values))

    def support(self, best: dict[str, Pair]) -> Support:
        from ranking.learning.adaptation import Support

        feedback = self.request.feedback
        row = {doc: i for i, doc in enumerate(feedback.ids)}
        rows = [row[doc] for doc in self.feedback]
        offset: FloatArray = np.array([self.priors[doc] for doc in self.feedback])
        return Support([best[doc] for doc in self.feedback], offset, feedback.relevance[rows], feedback.weight[rows])

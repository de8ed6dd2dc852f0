"""Smoothing: documents that are alike should score alike.

An earlier stage's scores are spread over the graph of nearest neighbours among its best documents, and what the
searcher judged is held fast at both ends of the scale. So a document that the earlier stage overlooked rises where
its neighbours stand high, and what resembles a refused document sinks.

The idea is that of Diaz, "Regularizing ad hoc retrieval scores" (CIKM 2005); the spreading with fixed labels is that of
Zhou et al., "Learning with local and global consistency" (NIPS 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from index.types import Ranking
from ranking.context import Context, Space
from ranking.contract import Request
from ranking.dense import Dense
from ranking.feedback import Feedback
from ranking.options import number
from ranking.vectors import FloatArray

BEST = 10  # documents whose mean score is what a relevant one is worth, and no more than a tenth of all
_NOTHING = 1e-6  # shorter than this is no direction


@dataclass(frozen=True)
class Smooth:
    """f = c y + (1 - c) ((1 - s) f0 + s A f), where f0 are the candidates' scores and s is `strength`.

    Only the best `documents` of the candidates take part, with the feedback documents; the others keep their order
    below them. A averages over the `neighbours` nearest by the cosine of their vectors in `space` (with `centre`, of
    their differences from the mean of those that take part), each weighted by its cosine to the power of `sharpness`.
    A feedback document of relevance r is held at y = r high + (1 - r) low with c = min(weight, 1), where high is the
    mean of the best scores (ten, of a hundred or more) and low the mean of all. A document without neighbours, and
    every one at strength 0, keeps its score.

    Without candidates it takes those of `Dense`.
    """

    needs_vectors: ClassVar[bool] = True

    strength: float = number(0.5, low=0.0, high=0.99)
    neighbours: int = number(10, low=1)
    sharpness: float = number(3.0, low=0.0)
    centre: bool = False
    documents: int = number(300, low=1, high=2000)
    space: Space = "conditioned"
    depth: int = number(1000, low=1)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        pools = self._pools(requests, context)
        pairs = zip(requests, pools, strict=True)
        return [request.answer(self._smoothed(request, pool, context)) for request, pool in pairs]

    def _pools(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        """What each request wants ordered: its candidates, or what the feedback and the query are near to."""
        bare = [i for i, request in enumerate(requests) if request.candidates is None]
        asked = [replace(requests[i], exclude_feedback=False, limit=requests[i].depth(self.depth)) for i in bare]
        found = dict(zip(bare, Dense(space=self.space, depth=self.depth).rank(asked, context), strict=True))
        return [found.get(i) or request.candidates or Ranking.empty() for i, request in enumerate(requests)]

    def _smoothed(self, request: Request, pool: Ranking, context: Context) -> Ranking:
        feedback = request.feedback.select(request.feedback.weight > 0)
        feedback = feedback.select(np.array(context.vectors.take(feedback.ids, self.space).any(axis=1), dtype=np.bool_))
        silent = not len(feedback) and not context.terms(request.query)
        if silent or not self.strength or len(pool) < 2:
            return pool
        top = pool.head(self.documents)
        own = top.scores_by_id()
        ids = [*top.ids, *(doc for doc in feedback.ids if doc not in own)]
        lowest = float(top.scores[-1])
        start = np.array([own.get(doc, lowest) for doc in ids])
        held, labels = _held(feedback, ids, start)
        present = np.where(np.arange(len(ids)) < len(top), 1.0, held)
        vectors = context.vectors.take(ids, self.space).astype(np.float64)
        points = centred(vectors, present) if self.centre else vectors
        graph = neighbour_graph(points, present, self.neighbours, self.sharpness)
        scores = diffused(start, graph, self.strength, held, labels)[: len(top)]
        rest = pool.scores[len(top) :]
        if len(rest):
            rest = rest - max(0.0, float(rest[0] - scores.min()))
        return Ranking.of(pool.ids, np.concatenate([scores, rest]))


def centred(vectors: FloatArray, present: FloatArray) -> FloatArray:
    """Rows (n, dimension) less their mean, in which row i counts `present[i]`: all candidates for one query have much
    in common. Zero rows stay zero."""
    known = np.array(vectors.any(axis=1), dtype=np.bool_)
    mean = (known * present) @ vectors / max(float((known * present).sum()), 1.0)
    rows: FloatArray = np.where(known[:, None], vectors - mean, 0.0)
    return rows


def neighbour_graph(vectors: FloatArray, present: FloatArray, neighbours: int, sharpness: float) -> FloatArray:
    """Row i averages over the nearest neighbours of row i: shape (n, n), rows add up to one, or to zero without any.

    `vectors` has shape (n, dimension). Only positive cosines make neighbours; zero vectors have none. To be near to
    document i counts `present[i]`, from 0 to 1: a document that a click of little weight has brought in counts little.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = (vectors / np.where(lengths > _NOTHING, lengths, np.inf)).astype(np.float32)  # half the time of float64
    cosines = rows @ rows.T
    cosines *= present.astype(np.float32)
    np.fill_diagonal(cosines, 0.0)
    least = np.full(len(rows), _NOTHING, np.float32)
    if neighbours < len(rows):
        least = np.maximum(least, np.partition(cosines, -neighbours, axis=1)[:, -neighbours])
    near = np.nonzero(cosines >= least[:, None])
    shares = np.zeros((len(rows), len(rows)))
    shares[near] = cosines[near].astype(np.float64) ** sharpness
    total = shares.sum(axis=1, keepdims=True)
    shares /= np.where(total > 0, total, 1.0)
    return shares


def diffused(start: FloatArray, graph: FloatArray, strength: float, held: FloatArray, labels: FloatArray) -> FloatArray:
    """The solution f of f = held labels + (1 - held) ((1 - strength) start + strength graph f), shape (n,).

    `start` and `labels` are scores, `held` in [0, 1] says how firmly a label holds; `graph` is `neighbour_graph`'s. As
    its rows add up to one at most, every row of the system is dominated by its diagonal: there is one solution.
    """
    pull = np.where(graph.any(axis=1), strength, 0.0)
    system = np.eye(len(start)) - ((1.0 - held) * pull)[:, None] * graph
    known = held * labels + (1.0 - held) * (1.0 - pull) * start
    return np.linalg.solve(system, known).astype(np.float64)


def _held(feedback: Feedback, ids: Sequence[str], start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How firmly each document's score is held, and at what: two arrays of shape (n,)."""
    best = min(BEST, max(1, len(start) // 10))
    high, low = float(np.sort(start)[-best:].mean()), float(start.mean())
    place = {doc: i for i, doc in enumerate(ids)}
    at = [place[doc] for doc in feedback.ids]
    held, labels = np.zeros(len(ids)), np.zeros(len(ids))
    held[at] = np.minimum(feedback.weight, 1.0)
    labels[at] = feedback.relevance * high + (1.0 - feedback.relevance) * low
    return held, labels

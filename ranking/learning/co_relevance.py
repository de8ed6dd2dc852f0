"""Learning which documents are relevant together from one index's own judgements: `clickwise train co-relevance`.

Of the matrix R of documents and topics, 1 where a document is relevant, each column divided by the root of its sum and
each row brought to length one, the leading factors U S are kept (`index.co_relevance` tells what for). A ridge
regression from the topics' vectors to the sums of their documents' factors, of length one, tells what a new query is
expected to find. How strongly the factors count beside the texts' vectors, and whether at all, is for cross-validation
to say: each topic is ranked by what the topics of other folds were relevant with, as a first page and with feedback,
and one counts as much as the other. It has to gain over a control, the same factors dealt out to other documents: any
factors make the query's own likeness count for less, which gains by itself where queries say little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index.progress import track
from index.vectors import unit_rows
from ranking.learning.judged import (
    SIZES,
    Gain,
    Rows,
    Topic,
    Values,
    Vectors,
    folded,
    residual_ndcg,
    usable,
)
from ranking.options import number

STRENGTHS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""What cross-validation chooses from: at 1 what was relevant together counts as much as likeness of the texts."""


@dataclass(frozen=True)
class CoRelevanceTraining:
    """How it is learned. `rank` is the most factors a document has, `ridge` the weight of the regression's squared
    coefficients, `folds` are those of the cross-validation."""

    rank: int = number(256, low=1)
    ridge: float = number(0.3, low=1e-6)
    folds: int = number(10, low=2)
    seed: int = number(0, low=0)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The factors (m, rank) of the documents in `rows` (m,), the regression (dimension, rank) of queries, the strength,
    and what they gain on topics set aside: over none, or over the control where that is better.

    `first_page` and `with_feedback` are what the gain is the mean of: nDCG@20 without and with what was learned.
    """

    rows: Rows
    factors: Vectors
    regression: Vectors
    strength: float
    gain: Gain
    first_page: tuple[float, float]
    with_feedback: tuple[float, float]


def train_co_relevance(
    vectors: Vectors, topics: Sequence[Topic], training: CoRelevanceTraining = CoRelevanceTraining()
) -> Learned:
    """Learn from topics whose rows point into conditioned vectors (n, dimension).

    Deterministic by seed on one machine. Raises InputError where too few topics have two relevant documents, and for
    more folds than topics.
    """
    chosen = usable(topics, "co-relevance", training.seed, refusing=False)
    fold = folded(len(chosen), training.folds, training.seed)
    values, control = np.zeros((2, 2, 1 + len(STRENGTHS), len(chosen)))
    random = np.random.default_rng(training.seed)
    for aside in track(range(training.folds), "Cross-validating", training.folds):
        known = _Known(vectors, [chosen[i] for i in np.flatnonzero(fold != aside)], training)
        for i in np.flatnonzero(fold == aside):
            values[..., i] = known.values(chosen[i])
        known.deal(random)
        for i in np.flatnonzero(fold == aside):
            control[..., i] = known.values(chosen[i])
    means, dealt = values.mean(axis=0), control.mean(axis=0)
    best = int(np.argmax(means[1:].mean(axis=1)))
    plain = np.array([max(means[0], other, key=np.mean) for other in dealt[1:]])
    first_page, with_feedback = ((float(kind[0].mean()), float(kind[1 + best].mean())) for kind in values)
    rows, factors = factors_of(chosen, training.rank)
    regression = regression_of(chosen, rows, factors, training.ridge)
    gain = Gain.of(plain, means[1:], best)
    return Learned(rows, factors, regression, STRENGTHS[best], gain, first_page, with_feedback)


def factors_of(topics: Sequence[Topic], rank: int) -> tuple[Rows, Vectors]:
    """The rows (m,) of the documents that are relevant to any of the topics, and their factors, (m, `rank` at most):
    inner products are the cosines between the documents' rows of R, as far as so many factors tell."""
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import svds

    rows, places = np.unique(np.concatenate([topic.relevant for topic in topics]), return_inverse=True)
    sizes = np.array([len(topic.relevant) for topic in topics])
    columns = np.repeat(np.arange(len(topics)), sizes)
    matrix = csr_array((np.repeat(sizes**-0.5, sizes), (places, columns)), shape=(len(rows), len(topics)))
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    matrix = matrix.multiply(1.0 / lengths[:, None]).tocsr()
    if len(topics) <= rank:
        return rows, matrix.toarray().astype(np.float32)
    start = np.ones(min(matrix.shape))  # of the iteration: a random one would make every run another
    left, scales, _ = svds(matrix, k=min(rank, min(matrix.shape) - 1), v0=start)
    return rows, np.ascontiguousarray(left * scales, dtype=np.float32)


def regression_of(topics: Sequence[Topic], rows: Rows, factors: Vectors, ridge: float) -> Vectors:
    """The map (dimension, rank) from the topics' vectors to the summed factors of what is relevant to them, of length
    one. `rows` (m,) are sorted and hold all that is relevant; `factors` (m, rank) are theirs."""
    wanted = unit_rows(np.stack([factors[np.searchsorted(rows, topic.relevant)].sum(axis=0) for topic in topics]))
    queries = np.stack([topic.query for topic in topics]).astype(np.float64)
    gram = queries.T @ queries + ridge * np.eye(queries.shape[1])
    return np.linalg.solve(gram, queries.T @ wanted).astype(np.float32)


class _Known:
    """What some topics were relevant with, to rank others by."""

    def __init__(self, vectors: Vectors, topics: Sequence[Topic], training: CoRelevanceTraining) -> None:
        self.vectors, self.topics, self.ridge = vectors, topics, training.ridge
        self.rows, factors = factors_of(topics, training.rank)
        self.place = np.full(len(vectors), -1)
        self.place[self.rows] = np.arange(len(self.rows))
        self._know(factors)

    def _know(self, factors: Vectors) -> None:
        self.factors = factors
        self.regression = regression_of(self.topics, self.rows, factors, self.ridge)
        self.squares = np.zeros(len(self.vectors), np.float32)
        self.squares[self.rows] = np.square(factors).sum(axis=1)

    def deal(self, random: np.random.Generator) -> None:
        """Deal the factors out to the same documents anew: what was relevant together is no longer."""
        self._know(random.permutation(self.factors))

    def values(self, topic: Topic) -> Values:
        """nDCG@20 of the summed cosines to the query and the given documents, without factors, then for every strength:
        of the first page, and of the residual collection, mean over k as `mean_ndcg` has it: shape
        (2, 1 + strengths)."""
        sizes = [0, *sorted({min(k, len(topic.relevant) - 1) for k in SIZES[1:]})]
        given = topic.relevant[: sizes[-1]]
        known = np.flatnonzero(self.place[given] >= 0)
        together = np.zeros((len(self.vectors), 1 + len(given)), np.float32)  # in the factors: query, then the given
        together[self.rows, 0] = self.factors @ (topic.query @ self.regression)
        together[np.ix_(self.rows, 1 + known)] = self.factors @ self.factors[self.place[given[known]]].T
        alike = self.vectors @ np.vstack([topic.query, self.vectors[given]]).T
        values = np.zeros((1 + len(STRENGTHS), len(sizes)))
        for at, strength in enumerate((0.0, *STRENGTHS)):
            lengths = np.sqrt(1.0 + strength**2 * self.squares)
            counted = alike + np.array([strength, *[strength**2] * len(given)], np.float32) * together
            near = np.cumsum(counted / np.array([1.0, *lengths[given]], np.float32), axis=1)
            for column, k in enumerate(sizes):
                values[at, column] = residual_ndcg(near[:, k] / lengths, topic, k, topic.refused[:0])
        return np.stack([values[:, 0], values[:, 1:].mean(axis=1)])

"""kNN and dense Rocchio against the formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from index.index import Index
from index.types import Query, Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.dense import Dense
from ranking.feedback import Feedback
from ranking.knn import Knn
from ranking.vectors import damped_mean

QUERY = Query("q", "sailing with coffee in the orbit of a star")
GRADED = Feedback.of(["sailing-02", "astronomy-04", "coffee-01"], [0.9, 0.5, 0.0], [1.0, 0.5, 2.0])
IDS = ("coffee-03", "sailing-07", "python-01", "astronomy-09", "medicine-05")
POOL = Ranking.of(IDS, [5, 4, 3, 2, 1])


class Cosines:
    """Cosines of the pool's documents (in the order of IDS) to the query, shape (5,), and to the feedback, (3, 5)."""

    def __init__(self, context: Context, space: Any) -> None:
        documents = context.vectors.take(IDS, space).astype(np.float64)
        self.query = documents @ context.query_vectors([QUERY], space)[0]
        self.feedback = context.vectors.take(GRADED.ids, space) @ documents.T


def scores(ranker: Knn | Dense, context: Context, feedback: Feedback = GRADED) -> np.ndarray[Any, Any]:
    (ranking,) = ranker.rank([Request(QUERY, feedback, POOL)], context)
    found = ranking.scores_by_id()
    return np.array([found[doc] for doc in IDS])


@pytest.fixture
def context(dense_index: Index) -> Context:
    return Context.of(dense_index)


@pytest.mark.parametrize("space", ["raw", "conditioned"])
def test_sum(context: Context, space: Any) -> None:
    c = Cosines(context, space)
    expected = 1.5 * c.query + [0.9, 0.25, 0.0] @ c.feedback - 0.4 * np.array([0.1, 0.25, 2.0]) @ c.feedback
    np.testing.assert_allclose(scores(Knn("sum", "both", 1.5, 0.4, space), context), expected, atol=1e-5)


def test_the_paper_adds_the_cosines_to_the_query_and_to_the_relevant_documents(context: Context) -> None:
    judged = Feedback.judged(["sailing-02", "astronomy-04"], ["coffee-01"])
    c = Cosines(context, "raw")
    expected = c.query + c.feedback[0] + c.feedback[1]
    np.testing.assert_allclose(scores(Knn(space="raw"), context, judged), expected, atol=1e-5)


def test_mean_divides_each_sum_by_its_weights(context: Context) -> None:
    c = Cosines(context, "conditioned")
    expected = (2 * c.query + [0.9, 0.25, 0.0] @ c.feedback) / 3.15
    expected -= 0.4 * np.array([0.1, 0.25, 2.0]) @ c.feedback / 2.35
    np.testing.assert_allclose(scores(Knn("mean", "both", 2.0, 0.4), context), expected, atol=1e-5)


def test_max_takes_the_largest_weighted_cosine(context: Context) -> None:
    c = Cosines(context, "conditioned")
    attract = np.vstack([c.query, 0.9 * c.feedback[0], 0.25 * c.feedback[1]]).max(axis=0)
    repel = 0.4 * (np.array([[0.1], [0.25], [2.0]]) * c.feedback).max(axis=0)
    np.testing.assert_allclose(scores(Knn("max", negative_weight=0.4), context), attract - repel, atol=1e-5)
    np.testing.assert_allclose(scores(Knn("max"), context), attract, atol=1e-5)


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
def test_the_query_alone_and_the_feedback_alone(context: Context, aggregation: Any) -> None:
    c = Cosines(context, "conditioned")
    np.testing.assert_allclose(scores(Knn(aggregation, compare="query"), context), c.query, atol=1e-5)
    judged = Feedback.judged(["sailing-02"])
    alone = scores(Knn(aggregation, compare="feedback"), context, judged)
    np.testing.assert_allclose(alone, c.feedback[0], atol=1e-5)


def test_feedback_alone_without_feedback_leaves_the_candidates_as_they_are(context: Context) -> None:
    assert Knn(compare="feedback").rank([Request(QUERY, candidates=POOL), Request(QUERY)], context) == [
        POOL,
        Ranking.empty(),
    ]


@pytest.mark.parametrize("ranker", [Knn(), Knn("mean"), Knn(space="raw"), Dense(), Dense(space="raw")], ids=repr)
def test_without_candidates_it_finds_what_it_would_rank_first_of_all(
    ranker: Knn | Dense, dense_index: Index, context: Context
) -> None:
    everything = Ranking.of(list(dense_index.view().lexical.segments.ids), np.zeros(60))
    (ranked,) = ranker.rank([Request(QUERY, GRADED, everything)], context)
    (found,) = ranker.rank([Request(QUERY, GRADED)], context)
    assert found == ranked
    shallow = type(ranker)(space=ranker.space, depth=5)
    (few,) = shallow.rank([Request(QUERY, GRADED)], context)
    assert len(few) == 5


def test_dense_is_rocchio_on_vectors(context: Context) -> None:
    query = context.query_vectors([QUERY], "conditioned")[0].astype(np.float64)
    vectors = context.vectors.take(GRADED.ids).astype(np.float64)
    relevant, not_relevant = np.array([0.9, 0.25, 0.0]), np.array([0.1, 0.25, 2.0])
    moved = 0.7 * query + 1.1 * relevant @ vectors / 1.15 - 0.3 * not_relevant @ vectors / 2.35
    expected = context.vectors.take(IDS).astype(np.float64) @ moved / np.linalg.norm(moved)
    np.testing.assert_allclose(scores(Dense(0.7, 1.1, 0.3), context), expected, atol=1e-5)


def test_a_document_without_a_vector_scores_zero(context: Context) -> None:
    (ranking,) = Knn().rank([Request(QUERY, GRADED, Ranking.of([*IDS, "gone"], [1] * 6))], context)
    assert ranking.scores_by_id()["gone"] == 0


def test_the_mean_shrinks_where_the_weights_are_less_than_one_document() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert damped_mean(rows, np.array([3.0, 1.0])).tolist() == [0.75, 0.25]
    assert damped_mean(rows, np.array([0.2, 0.0])).tolist() == [0.2, 0.0]
    assert damped_mean(rows[:0], np.zeros(0)).tolist() == [0.0, 0.0]

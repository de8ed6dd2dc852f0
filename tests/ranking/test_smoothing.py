"""Smoothing against the equations written out, and what has to come of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from index.index import Index
from index.types import Query, Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.feedback import Feedback
from ranking.smoothing import Smooth, centred, diffused, neighbour_graph
from ranking.vectors import FloatArray

QUERY = Query("q", "boat mast")
POOL = Ranking.of(
    ["python-01", "sailing-01", "coffee-02", "coffee-03", "sailing-04", "sailing-05", "medicine-01", "astronomy-01"],
    [9, 8, 7, 6, 5, 4, 3, 2],
)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[FloatArray, FloatArray, int]:
    count = draw(st.integers(1, 8))
    rows = draw(arrays(np.float64, (count, 4), elements=st.sampled_from([-1.0, -0.3, 0.0, 0.2, 1.0])))
    scores = draw(arrays(np.float64, count, elements=st.floats(-5, 5)))
    return rows, scores, draw(st.integers(1, 5))


@given(given_graph=graphs(), sharpness=st.sampled_from([0.0, 1.0, 2.0]))
def test_rows_of_the_graph_are_averages_of_others(
    given_graph: tuple[FloatArray, FloatArray, int], sharpness: float
) -> None:
    rows, _, neighbours = given_graph
    graph = neighbour_graph(rows, np.ones(len(rows)), neighbours, sharpness)
    total = graph.sum(axis=1)
    assert (graph >= 0).all()
    assert not graph.diagonal().any()
    np.testing.assert_allclose(total[total > 0], 1.0)
    assert not graph[~rows.any(axis=1)].any()  # what has no vector has no neighbours


@given(given_graph=graphs(), strength=st.floats(0, 0.9), data=st.data())
def test_the_solution_is_where_spreading_step_by_step_ends(
    given_graph: tuple[FloatArray, FloatArray, int], strength: float, data: st.DataObject
) -> None:
    rows, start, neighbours = given_graph
    graph = neighbour_graph(rows, np.ones(len(rows)), neighbours, 1.0)
    held = data.draw(arrays(np.float64, len(start), elements=st.floats(0, 1)))
    labels = data.draw(arrays(np.float64, len(start), elements=st.floats(-5, 5)))
    pull = np.where(graph.any(axis=1), strength, 0.0)
    step = start.copy()
    for _ in range(400):
        step = held * labels + (1 - held) * ((1 - pull) * start + pull * (graph @ step))
    found = diffused(start, graph, strength, held, labels)
    np.testing.assert_allclose(found, step, atol=1e-6)
    bounds = np.concatenate([start, labels])
    assert bounds.min() - 1e-9 <= found.min()
    assert found.max() <= bounds.max() + 1e-9


def test_centring_leaves_documents_without_a_vector_out() -> None:
    rows = np.array([[1.0, 3.0], [0.0, 0.0], [3.0, 1.0]])
    np.testing.assert_array_equal(centred(rows, np.ones(3)), [[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0]])
    assert not centred(np.zeros((2, 2)), np.ones(2)).any()


def test_only_as_many_neighbours_as_wanted() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 8))
    assert ((neighbour_graph(rows, np.ones(30), 3, 1.0) > 0).sum(axis=1) <= 3).all()


@pytest.fixture
def context(dense_index: Index) -> Context:
    return Context.of(dense_index)


def places(ranker: Smooth, context: Context, feedback: Feedback) -> dict[str, int]:
    (ranking,) = ranker.rank([Request(QUERY, feedback, POOL)], context)
    return {doc: place for place, doc in enumerate(ranking.ids)}


def test_what_resembles_relevant_documents_rises(context: Context) -> None:
    after = places(Smooth(strength=0.8, neighbours=3), context, Feedback.judged(["sailing-01"], ["coffee-02"]))
    assert after["sailing-04"] < after["coffee-03"]
    assert after["sailing-05"] < after["coffee-03"]


def test_strength_zero_changes_nothing(context: Context) -> None:
    judged = Feedback.judged(["sailing-01"], ["coffee-02"])
    assert Smooth(strength=0.0).rank([Request(QUERY, judged, POOL)], context) == [POOL]


def test_documents_that_take_no_part_stay_below_in_their_order(context: Context) -> None:
    (ranking,) = Smooth(documents=4).rank([Request(QUERY, Feedback.judged(["sailing-01"]), POOL)], context)
    assert set(ranking.ids[:4]) == set(POOL.ids[:4])
    assert ranking.ids[4:] == POOL.ids[4:]


def test_a_weak_click_counts_less_than_a_judgement(context: Context) -> None:
    def score(weight: float) -> float:
        feedback = Feedback.of(["sailing-05"], [1.0], [weight])
        (ranking,) = Smooth().rank([Request(QUERY, feedback, POOL)], context)
        return ranking.scores_by_id()["sailing-05"]

    assert score(0.1) < score(0.5) < score(1.0) == score(3.0)

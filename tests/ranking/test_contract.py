"""Every part and every default pipeline keeps the contract; requests and their answers."""

from __future__ import annotations

import numpy as np
import pytest

from index.index import Index
from index.types import Query, Ranking
from ranking.config import load_specs
from ranking.context import Context
from ranking.contract import Fuser, Ranker, Request
from ranking.feedback import Feedback
from ranking.knn import Knn
from ranking.parts import FUSERS, RANKERS
from ranking.pipeline import Pipeline
from ranking.smoothing import Smooth
from tests.ranking.contract import POOL, WORDS, Answer, LearnsFromFeedback, RankerContract

# The bi-encoder adapts the index's own encoder, and these indexes have a stand-in for one: test_bi_encoder.py.
NEED_A_MODEL = {"bi-encoder", "bi-ft"}
VARIANTS: dict[str, Ranker] = {
    **{name: part() for name, part in RANKERS.items() if name not in NEED_A_MODEL},
    "knn-mean": Knn(aggregation="mean", negative_weight=0.5),
    "knn-max": Knn(aggregation="max", negative_weight=0.2),
    "knn-raw": Knn(space="raw"),
    "smooth-centred": Smooth(strength=0.3, space="raw", centre=True, documents=20),
}
IGNORE_FEEDBACK = {"bm25"}


def ranks(ranker: Ranker, index: Index) -> Answer:
    return lambda requests: ranker.rank(requests, Context.of(index))


class TestPlainRankers(RankerContract):
    @pytest.fixture(params=sorted(IGNORE_FEEDBACK))
    def answer(self, request: pytest.FixtureRequest, dense_index: Index) -> Answer:
        return ranks(VARIANTS[request.param], dense_index)


class TestRankers(LearnsFromFeedback):
    @pytest.fixture(params=sorted(VARIANTS.keys() - IGNORE_FEEDBACK))
    def answer(self, request: pytest.FixtureRequest, dense_index: Index) -> Answer:
        return ranks(VARIANTS[request.param], dense_index)


class TestPlainPipelines(RankerContract):
    @pytest.fixture(params=sorted(IGNORE_FEEDBACK))
    def answer(self, request: pytest.FixtureRequest, dense_index: Index) -> Answer:
        return Pipeline(load_specs()[request.param], dense_index).rank


class TestPipelines(LearnsFromFeedback):
    @pytest.fixture(params=sorted(load_specs().keys() - IGNORE_FEEDBACK - NEED_A_MODEL))
    def answer(self, request: pytest.FixtureRequest, dense_index: Index) -> Answer:
        return Pipeline(load_specs()[request.param], dense_index).rank


class TestWithoutVectors(LearnsFromFeedback):
    @pytest.fixture(params=["rocchio", "rm3", "more-like-this"])
    def answer(self, request: pytest.FixtureRequest, lexical_index: Index) -> Answer:
        return ranks(VARIANTS[request.param], lexical_index)


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - {"more-like-this"}))
def test_feedback_of_hardly_any_weight_changes_hardly_anything(name: str, dense_index: Index) -> None:
    light = Feedback.of(["sailing-02", "coffee-04"], [1.0, 0.2], [1e-9, 1e-9])
    answer = ranks(VARIANTS[name], dense_index)
    (without,), (touched,) = answer([Request(WORDS, candidates=POOL)]), answer([Request(WORDS, light, POOL)])
    assert touched.ids == without.ids


def test_every_part_is_what_the_registry_says() -> None:
    assert all(isinstance(part(), Ranker) and not isinstance(part(), Fuser) for part in RANKERS.values())
    assert all(isinstance(part(), Fuser) and not isinstance(part(), Ranker) for part in FUSERS.values())


def test_an_answer_leaves_feedback_out_before_it_is_cut() -> None:
    ranking = Ranking.of(["a", "b", "c", "d"], [4, 3, 2, 1])
    request = Request(Query("q", ""), Feedback.judged(["a"], ["c"]), exclude_feedback=True, limit=1)
    assert request.answer(ranking).ids == ("b",)
    assert Request(Query("q", ""), request.feedback, limit=3).answer(ranking).ids == ("a", "b", "c")


@pytest.mark.parametrize(
    ("limit", "excluded", "depth"),
    [(None, True, 100), (10, True, 100), (100, False, 100), (100, True, 102), (500, False, 500)],
)
def test_the_depth_to_retrieve(limit: int | None, excluded: bool, depth: int) -> None:
    feedback = Feedback.judged(["a"], ["b"])
    assert Request(Query("q", ""), feedback, exclude_feedback=excluded, limit=limit).depth(100) == depth


def test_scores_are_not_lent_out(dense_index: Index) -> None:
    (ranking,) = Knn().rank([Request(Query("q", "boat"))], Context.of(dense_index))
    with pytest.raises(ValueError, match="read-only"):
        ranking.scores += np.float64(1)

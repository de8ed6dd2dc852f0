"""The contract of `ranking.contract.Ranker`, as tests. Every ranker and every pipeline passes them.

    class TestMine(RankerContract):
        @pytest.fixture
        def answer(self, dense_index): ...      # requests -> rankings

Subclasses say how requests are answered; the index is one of the shared small corpora of `tests/conftest.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from index.filters import parse_filter
from index.types import Document, Query, Ranking
from ranking.contract import Request
from ranking.feedback import NO_FEEDBACK, Feedback

Answer = Callable[[Sequence[Request]], list[Ranking]]

WORDS = Query("words", "sailing with coffee in the orbit of a star")
SILENT = (Query("empty", ""), Query("blank", " \t\n"), Query("stop", "the of and"), Query("signs", "!? --"))
ODD = (
    Query("syntax", 'title:"x AND (OR +boat -mast ~2 ^3 [a TO b] {'),
    Query("nul", "boat\0mast"),
    Query("surrogate", "boat \ud800 mast"),
    Query("long", "boat mast espresso " * 5000),
    Query("unknown", "zyzzyva"),
)
JUDGED = Feedback.judged(["sailing-02", "sailing-05"], ["coffee-01"])
GRADED = Feedback.of(["sailing-02", "astronomy-04", "coffee-01"], [0.9, 0.3, 0.0], [1.0, 0.25, 2.0])
POOL = Ranking.of(["coffee-03", "sailing-07", "python-01", "astronomy-09", "sailing-02"], [5, 4, 3, 2, 1])


class RankerContract:
    """What every ranker promises."""

    @pytest.fixture
    def answer(self) -> Answer:
        raise NotImplementedError

    def all_requests(self) -> list[Request]:
        usual = [
            Request(query, feedback, candidates, exclude_feedback=excluded)
            for query in (WORDS, *SILENT)
            for feedback in (NO_FEEDBACK, JUDGED, GRADED)
            for candidates in (None, POOL)
            for excluded in (False, True)
        ]
        return [*usual, *(Request(query, feedback) for query in ODD for feedback in (NO_FEEDBACK, JUDGED))]

    def test_it_invents_no_document(self, answer: Answer, corpus: list[Document]) -> None:
        known = {document.id for document in corpus}
        for request, ranking in zip(self.all_requests(), answer(self.all_requests()), strict=True):
            assert set(ranking.ids) <= known
            if request.candidates is not None:
                excluded = set(request.feedback.ids) if request.exclude_feedback else set()
                assert set(ranking.ids) == set(POOL.ids) - excluded

    def test_scores_descend_and_ties_go_by_id(self, answer: Answer) -> None:
        for ranking in answer(self.all_requests()):
            assert len(set(ranking.ids)) == len(ranking.ids) == len(ranking.scores)
            assert np.isfinite(ranking.scores).all()
            order = [(-score, doc) for doc, score in ranking]
            assert order == sorted(order)

    def test_the_same_request_gives_the_same_answer(self, answer: Answer) -> None:
        assert answer(self.all_requests()) == answer(self.all_requests())

    def test_a_batch_answers_as_one_by_one(self, answer: Answer) -> None:
        together = answer(self.all_requests())
        for request, ranking in zip(self.all_requests(), together, strict=True):
            assert answer([request]) == [ranking]

    def test_no_requests_no_answers(self, answer: Answer) -> None:
        assert answer([]) == []

    def test_words_find_documents_without_feedback(self, answer: Answer) -> None:
        (ranking,) = answer([Request(WORDS)])
        assert len(ranking) >= 20

    def test_no_candidates_no_answer(self, answer: Answer) -> None:
        for feedback in (NO_FEEDBACK, JUDGED):
            assert answer([Request(WORDS, feedback, Ranking.empty())]) == [Ranking.empty()]

    def test_candidates_that_the_index_does_not_hold_stay_in_the_answer(self, answer: Answer) -> None:
        pool = Ranking.of([*POOL.ids, "gone"], [6, 5, 4, 3, 2, 1])
        for feedback in (NO_FEEDBACK, JUDGED):
            (ranking,) = answer([Request(WORDS, feedback, pool)])
            assert set(ranking.ids) == set(pool.ids)

    def test_excluding_feedback_leaves_it_out_and_changes_nothing_else(self, answer: Answer) -> None:
        for candidates in (None, POOL):
            (kept,) = answer([Request(WORDS, JUDGED, candidates)])
            (residual,) = answer([Request(WORDS, JUDGED, candidates, exclude_feedback=True)])
            assert residual == kept.without(JUDGED.ids)
            assert "sailing-02" in kept.ids

    def test_a_limit_gives_the_head(self, answer: Answer) -> None:
        for feedback in (NO_FEEDBACK, JUDGED):
            (whole,) = answer([Request(WORDS, feedback)])
            for limit in (0, 1, 7, 10_000):
                assert answer([Request(WORDS, feedback, limit=limit)]) == [whole.head(limit)]
            (residual,) = answer([Request(WORDS, feedback, exclude_feedback=True, limit=7)])
            assert residual == whole.without(feedback.ids).head(7)

    def test_feedback_on_unknown_documents_is_ignored(self, answer: Answer) -> None:
        strange = Feedback.of([*JUDGED.ids, "gone", "never"], [*JUDGED.relevance, 1.0, 0.0])
        for candidates in (None, POOL):
            assert answer([Request(WORDS, strange, candidates)]) == answer([Request(WORDS, JUDGED, candidates)])
        unknown = Feedback.judged(["gone"], ["never"])
        assert answer([Request(WORDS, unknown)]) == answer([Request(WORDS)])

    def test_feedback_without_weight_is_ignored(self, answer: Answer) -> None:
        weightless = Feedback.of(["python-03", "coffee-02"], [1.0, 0.0], [0.0, 0.0])
        assert answer([Request(WORDS, weightless)]) == answer([Request(WORDS)])

    def test_the_order_of_feedback_does_not_matter(self, answer: Answer) -> None:
        turned = Feedback.of(GRADED.ids[::-1], GRADED.relevance[::-1], GRADED.weight[::-1])
        (first,), (second,) = answer([Request(WORDS, GRADED)]), answer([Request(WORDS, turned)])
        assert set(first.ids) == set(second.ids)
        scores = second.scores_by_id()
        np.testing.assert_allclose([scores[doc] for doc in first.ids], first.scores, atol=1e-5)

    def test_a_query_that_says_nothing_finds_nothing(self, answer: Answer) -> None:
        assert answer([Request(query) for query in SILENT]) == [Ranking.empty()] * len(SILENT)

    def test_a_query_that_says_nothing_leaves_candidates_as_they_are(self, answer: Answer) -> None:
        for ranking in answer([Request(query, candidates=POOL) for query in SILENT]):
            assert ranking.ids == POOL.ids

    def test_the_filter_holds(self, answer: Answer, corpus: list[Document]) -> None:
        query = Query("filtered", WORDS.text, parse_filter("topic in ['sailing', 'coffee'] and part < 6"))
        admitted = {doc.id for doc in corpus if doc.fields["topic"] in ("sailing", "coffee") and doc.fields["part"] < 6}
        batch = [Request(WORDS, JUDGED), Request(query, JUDGED), Request(query)]
        for ranking in answer(batch)[1:]:
            assert ranking.ids
            assert set(ranking.ids) <= admitted


class LearnsFromFeedback(RankerContract):
    """And what all promise but those that ignore feedback."""

    def test_a_query_that_says_nothing_is_answered_from_the_feedback(self, answer: Answer) -> None:
        for ranking in answer([Request(query, JUDGED) for query in SILENT]):
            assert {doc.partition("-")[0] for doc in ranking.ids[:5]} == {"sailing"}

    def test_documents_like_the_relevant_ones_move_up(self, answer: Answer) -> None:
        def mean_rank(ranking: Ranking) -> float:
            places = [place for place, doc in enumerate(ranking.ids) if doc.startswith("sailing")]
            return float(np.mean([*places, *[len(ranking)] * (12 - len(places))]))

        before, after = answer([Request(WORDS), Request(WORDS, JUDGED)])
        assert mean_rank(after) < mean_rank(before)

"""Query expansion against the formulas written out, and BM25 as its ground."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from index.index import Index
from index.lucene_query import LexicalQuery
from index.types import Document, Query, Ranking
from ranking.bm25 import Bm25
from ranking.context import Context
from ranking.contract import Request
from ranking.expansion import MOST_QUERY_TERMS, MoreLikeThis, Rm3, Rocchio
from ranking.feedback import Feedback

DOCUMENTS = [
    Document("a", "", "apple apple banana"),
    Document("b", "", "banana cherry"),
    Document("c", "", "cherry cherry cherry damson"),
    Document("d", "", "elder fig"),
]
QUERY = Query("q", "apple fig")
FEEDBACK = Feedback.of(["a", "b", "c"], [1.0, 0.5, 0.0])


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Index:
    from index.build import build_index

    path = tmp_path_factory.mktemp("fruit") / "index"
    build_index(path, DOCUMENTS)
    return Index.open(path)


def near(expected: dict[str, float]) -> object:
    return pytest.approx(expected, rel=1e-6)


def stem(index: Index, word: str) -> str:
    (term,) = index.view().lexical.analyze(word)
    return term


def test_rocchio_on_term_frequencies(fruit: Index) -> None:
    expanded = Rocchio(alpha=1.0, beta=2.0, gamma=0.5, weighting="tf").expand(
        Request(QUERY, FEEDBACK), Context.of(fruit)
    )
    a, b = (
        {"apple": 2 / math.sqrt(5), "banana": 1 / math.sqrt(5)},
        {"banana": 1 / math.sqrt(2), "cherry": 1 / math.sqrt(2)},
    )
    # a is relevant, b half relevant; b is half not relevant, and c is not: means of weights 1 + .5 and .5 + 1.
    expected = {
        "apple": 1 / math.sqrt(2) + 2 * a["apple"] / 1.5,
        "fig": 1 / math.sqrt(2),
        "banana": 2 * (a["banana"] + 0.5 * b["banana"]) / 1.5 - 0.5 * 0.5 * b["banana"] / 1.5,
        "cherry": 2 * 0.5 * b["cherry"] / 1.5 - 0.5 * (0.5 * b["cherry"] + 3 / math.sqrt(10)) / 1.5,
    }  # damson only occurs in c, so its weight is not above zero
    assert expanded == LexicalQuery(terms=expanded.terms)
    assert expanded.terms == near({stem(fruit, word): weight for word, weight in expected.items()})


def test_rocchio_on_tf_idf(fruit: Index) -> None:
    expanded = Rocchio(alpha=0.0, beta=1.0, gamma=0.0).expand(Request(QUERY, Feedback.judged(["a"])), Context.of(fruit))
    apple, banana = 2 * math.log1p(4 / 2), math.log1p(4 / 3)
    length = math.hypot(apple, banana)
    assert expanded.terms == near({stem(fruit, "apple"): apple / length, stem(fruit, "banana"): banana / length})


def test_negative_feedback_takes_weight_from_the_words_of_the_query(fruit: Index) -> None:
    request = Request(Query("q", "cherry banana"), Feedback.judged([], ["c"]))
    terms = Rocchio(gamma=0.5, weighting="tf").expand(request, Context.of(fruit)).terms
    assert terms[stem(fruit, "cherry")] < terms[stem(fruit, "banana")]


def test_a_query_that_negative_feedback_wipes_out_is_asked_as_it_was(fruit: Index) -> None:
    request = Request(Query("q", "cherry"), Feedback.judged([], ["c"]))
    assert Rocchio(gamma=50.0).expand(request, Context.of(fruit)) == LexicalQuery(text="cherry")


def test_only_the_best_terms_are_added(dense_index: Index) -> None:
    request = Request(Query("q", "boat"), Feedback.judged(["sailing-02", "astronomy-04", "coffee-01"]))
    context = Context.of(dense_index)
    every = Rocchio(terms=64).expand(request, context).terms
    few = Rocchio(terms=4).expand(request, context).terms
    best = sorted(every.items(), key=lambda item: (-item[1], item[0]))
    assert len(every) > 8
    assert set(few) <= {term for term, _ in best[:5]} | {"boat"}
    assert len(few) in (4, 5)


def test_rm3(fruit: Index) -> None:
    expanded = Rm3(original_weight=0.4, common=1.0).expand(Request(QUERY, FEEDBACK), Context.of(fruit))
    # The model: (a + b / 2) / 1.5 with a = 2/3 apple, 1/3 banana and b = 1/2 banana, 1/2 cherry.
    expected = {
        "apple": 0.4 / 2 + 0.6 * (2 / 3) / 1.5,
        "fig": 0.4 / 2,
        "banana": 0.6 * (1 / 3 + 1 / 4) / 1.5,
        "cherry": 0.6 * (1 / 4) / 1.5,
    }
    assert expanded.terms == near({stem(fruit, word): weight for word, weight in expected.items()})
    assert sum(expanded.terms.values()) == pytest.approx(1.0)


def test_rm3_leaves_common_terms_out(fruit: Index) -> None:
    request = Request(QUERY, Feedback.judged(["b"]))
    assert stem(fruit, "banana") in Rm3(common=0.5).expand(request, Context.of(fruit)).terms
    assert set(Rm3(common=0.3).expand(request, Context.of(fruit)).terms) == {stem(fruit, "apple"), stem(fruit, "fig")}


def test_rm3_of_an_uncertain_click_stays_near_the_query(fruit: Index) -> None:
    clicked = Feedback.of(["a"], [0.5], [0.2])
    terms = Rm3(original_weight=0.4, common=1.0).expand(Request(QUERY, clicked), Context.of(fruit)).terms
    assert terms[stem(fruit, "fig")] == pytest.approx((1 - 0.6 * 0.1) / 2)


def test_more_like_this_asks_for_the_query_and_may_have_the_documents(fruit: Index) -> None:
    expanded = MoreLikeThis(terms=8).expand(Request(QUERY, FEEDBACK), Context.of(fruit))
    assert expanded == LexicalQuery(text="apple fig", like=("a",), like_terms=8, require_text=True)
    silent = MoreLikeThis().expand(Request(Query("q", "the"), FEEDBACK), Context.of(fruit))
    assert silent == LexicalQuery(text="", like=("a",), like_terms=16, require_text=False)


def test_more_like_this_requires_the_query(dense_index: Index) -> None:
    context = Context.of(dense_index)
    request = Request(Query("q", "telescope"), Feedback.judged(["sailing-02"]))
    (plain,), (expanded,) = Bm25().rank([request], context), MoreLikeThis().rank([request], context)
    assert set(expanded.ids) == set(plain.ids)


@pytest.mark.parametrize("ranker", [Rocchio(), Rm3(), MoreLikeThis()], ids=repr)
def test_without_feedback_expansion_is_bm25(ranker: Rocchio | Rm3 | MoreLikeThis, dense_index: Index) -> None:
    context = Context.of(dense_index)
    requests = [
        Request(Query("q", "boat and telescope"), feedback)
        for feedback in (Feedback.judged(["gone"]), Feedback.judged())
    ]
    assert ranker.rank(requests, context) == Bm25().rank(requests, context)


def test_a_pasted_document_is_cut_to_its_first_terms(dense_index: Index) -> None:
    words = " ".join(f"word{number}" for number in range(3 * MOST_QUERY_TERMS))
    request = Request(Query("q", words), Feedback.judged(["sailing-02"]))
    terms = Rocchio(terms=4).expand(request, Context.of(dense_index)).terms
    assert len(terms) == MOST_QUERY_TERMS + 4
    assert "word0" in terms


def test_bm25_takes_its_parameters(new_index: Callable[..., Index]) -> None:
    index = new_index(vectors=False, k1=1.2, b=0.75)
    request = Request(Query("q", "boat mast"))
    (own,) = Bm25().rank([request], Context.of(index))
    assert Bm25(k1=1.2, b=0.75).rank([request], Context.of(index)) == [own]
    (other,) = Bm25(k1=0.9, b=0.4).rank([request], Context.of(index))
    assert other.scores_by_id() != own.scores_by_id()


def test_bm25_orders_candidates_by_their_own_scores_and_keeps_the_rest_in_their_order(dense_index: Index) -> None:
    context = Context.of(dense_index)
    pool = Ranking.of(["python-01", "sailing-07", "gone", "coffee-03", "sailing-02"], [5, 4, 3, 2, 1])
    (whole,), (ranked,) = (
        Bm25().rank([Request(Query("q", "sailing boat"), candidates=candidates)], context)
        for candidates in (None, pool)
    )
    matched = [doc for doc in whole.ids if doc in pool.ids]
    assert ranked.ids == (*matched, "python-01", "gone", "coffee-03")
    np.testing.assert_array_equal(ranked.scores[:2], [whole.scores_by_id()[doc] for doc in matched])
    assert ranked.scores[2:].tolist() == [-1, -2, -3]
    (nothing,) = Bm25().rank([Request(Query("q", "zyzzyva"), candidates=pool)], context)
    assert nothing == pool


def test_the_depth_of_bm25_is_what_it_finds_at_most(dense_index: Index) -> None:
    context = Context.of(dense_index)
    (whole,), (few,) = (Bm25(depth=n).rank([Request(Query("q", "sailing"))], context) for n in (1000, 3))
    assert few == whole.head(3)
    (more,) = Bm25(depth=3).rank([Request(Query("q", "sailing"), limit=5)], context)
    assert more == whole.head(5)

"""Texts that come with the question are ranked as if they were the documents of an index without conditioning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.build import BuildOptions, build_index
from index.index import Index
from index.types import Document, Query, Ranking
from ranking.context import Context
from ranking.contract import Ranker, Request
from ranking.feedback import NO_FEEDBACK, Feedback
from ranking.given import rank_texts, vector_cache
from ranking.knn import Knn
from ranking.probe import Probe
from tests.fakes import HashingEncoder

TEXTS = {
    "a": "the keel of a boat in the wind",
    "b": "roast the beans and grind them for espresso",
    "c": "a telescope shows the nebula",
    "d": "brew coffee with a filter",
}
RANKERS: list[Ranker] = [Probe(), Knn(), Knn(aggregation="mean"), Knn(aggregation="max", negative_weight=0.5)]


@pytest.mark.parametrize("ranker", RANKERS, ids=repr)
@pytest.mark.parametrize("feedback", [NO_FEEDBACK, Feedback.judged(["d"], ["a"])], ids=["none", "two"])
def test_as_an_index_of_the_same_texts(
    ranker: Ranker, feedback: Feedback, encoder: HashingEncoder, tmp_path: Path
) -> None:
    documents = [Document(name, "", text) for name, text in TEXTS.items()]
    build_index(tmp_path / "texts", documents, BuildOptions(conditioning="none"), encoder=encoder)
    index = Index.open(tmp_path / "texts", encoder=encoder)
    candidates = Ranking(list(TEXTS), -np.arange(1.0, 5.0))
    asked = Request(Query("1", "espresso beans"), feedback, candidates)
    [indexed] = ranker.rank([asked], Context.of(index))
    ranking, _ = rank_texts(ranker, "espresso beans", TEXTS, list(TEXTS), encoder, feedback=feedback)
    assert ranking.ids == indexed.ids
    # The index keeps half precision.
    assert ranking.scores == pytest.approx(indexed.scores, abs=0.02)


def test_feedback_on_a_text_that_is_no_candidate_counts(encoder: HashingEncoder) -> None:
    texts = {**TEXTS, "told": "a telescope shows the comet"}
    plain, _ = rank_texts(Probe(), "show me", TEXTS, list(TEXTS), encoder)
    told, _ = rank_texts(Probe(), "show me", texts, list(TEXTS), encoder, feedback=Feedback.judged(["told"]))
    assert set(told.ids) == set(TEXTS)
    assert told.ids[0] == "c"
    assert told.scores_by_id()["c"] > plain.scores_by_id()["c"]


def test_a_text_is_embedded_once(encoder: HashingEncoder) -> None:
    counting, cache = HashingEncoder(), vector_cache()
    first, _ = rank_texts(Probe(), "espresso", TEXTS, list(TEXTS), counting, vectors=cache)
    calls = counting.calls
    again, _ = rank_texts(Probe(), "espresso", TEXTS, list(TEXTS), counting, vectors=cache)
    assert (again, counting.calls) == (first, calls + 1)  # the query alone


@settings(max_examples=30)
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=8), query=st.text(max_size=20))
def test_every_text_comes_back_once(texts: list[str], query: str) -> None:
    sent = {f"{number:06}": text for number, text in enumerate(texts)}
    ranking, _ = rank_texts(Probe(), query, sent, list(sent), HashingEncoder())
    assert sorted(ranking.ids) == list(sent)
    assert np.all(np.diff(ranking.scores) <= 0)
    if not query.split():
        assert list(ranking.ids) == list(sent)

"""Texts that come with the question are ranked as if they were the documents of an index without conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
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


class TicksWithEveryCall(HashingEncoder):
    """Its clock goes on by a second with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def encode(self, texts: Sequence[str], **more: Any) -> npt.NDArray[np.float32]:
        self.read += texts
        return super().encode(texts, **more)

    def now(self) -> float:
        return float(self.calls)


def test_what_was_embedded_in_time_is_ranked_and_the_rest_goes_on_when_it_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder, cache = TicksWithEveryCall(), vector_cache()
    monkeypatch.setattr("ranking.given.time.perf_counter", encoder.now)
    texts = {f"{number:03}": f"text {number}" for number in range(100)} | {"100": "espresso beans"}
    feedback = Feedback.judged(["100"])

    def ranked(deadline: float | None) -> tuple[Ranking, Context]:
        return rank_texts(
            Probe(), "espresso", texts, list(texts), encoder, feedback=feedback, vectors=cache, deadline=deadline
        )

    ranking, context = ranked(2.0)
    assert context.degraded == "deadline"
    assert sorted(ranking.ids) == list(texts)
    assert ranking.ids[0] == "100"  # what there is feedback on comes first
    assert len(set(encoder.read) & set(texts.values())) == 32
    encoder.read.clear()
    again, context = ranked(None)
    assert context.degraded is None
    assert len(set(encoder.read) & set(texts.values())) == 101 - 32
    assert again == rank_texts(Probe(), "espresso", texts, list(texts), encoder, feedback=feedback)[0]


def test_the_cheaper_ranking_stands_where_time_is_over() -> None:
    class Last(Knn):
        def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
            return [Ranking.of(["d", "c", "b", "a"], [4.0, 3.0, 2.0, 1.0])]

    class TakesAllTheTime(Probe):
        def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
            context.deadline = 0.0
            return super().rank(requests, context)

    def ranked(*before: Ranker) -> tuple[list[str], str | None]:
        ranking, context = rank_texts(Last(), "espresso", TEXTS, list(TEXTS), HashingEncoder(), before=before)
        return list(ranking.ids), context.degraded

    cheap, _ = rank_texts(Probe(), "espresso", TEXTS, list(TEXTS), HashingEncoder())
    assert ranked() == (["d", "c", "b", "a"], None)
    assert ranked(Probe()) == (["d", "c", "b", "a"], None)
    assert ranked(TakesAllTheTime()) == (list(cheap.ids), "deadline")

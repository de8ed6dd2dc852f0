"""The adapted bi-encoder as a ranker, with a tiny model that also made the index's vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from index.build import build_index
from index.encoder import load_encoder
from index.errors import InputError
from index.index import Index
from index.types import Document, Query, Ranking
from ranking.bi_encoder import BiEncoderRanker, Changes
from ranking.config import specs_with
from ranking.context import Context
from ranking.contract import Adapting, Learned, Request
from ranking.dense import Dense
from ranking.feedback import Feedback
from ranking.learning.bi_encoder import bi_encoder
from ranking.pipeline import Pipeline
from tests.ranking.contract import JUDGED, POOL, WORDS, Answer, LearnsFromFeedback
from tests.ranking.learning.tiny import write_sentences

GIVEN = Feedback.judged(["sailing-02", "sailing-05"], ["coffee-01", "python-03"])
RANKER = BiEncoderRanker(max_tokens=48, rate=1e-2)


@pytest.fixture(scope="module")
def tiny_index(tmp_path_factory: pytest.TempPathFactory, corpus: list[Document]) -> Index:
    directory = tmp_path_factory.mktemp("tiny")
    encoder = load_encoder(str(write_sentences(directory / "model", seed=5)))
    build_index(directory / "index", corpus, encoder=encoder)
    return Index.open(directory / "index")


class TestContract(LearnsFromFeedback):
    @pytest.fixture
    def answer(self, tiny_index: Index) -> Answer:
        return lambda requests: RANKER.rank(requests, Context.of(tiny_index))

    @pytest.fixture
    def trained_index(self, tmp_path: Path, corpus: list[Document]) -> Index:
        build_index(tmp_path / "trained", corpus, encoder=load_encoder())
        return Index.open(tmp_path / "trained")

    def test_documents_like_the_relevant_ones_move_up(self, trained_index: Index) -> None:
        """Random weights know no likeness to carry on from, so this promise is tested with the packaged encoder: by
        the cosines, for in the order of all documents it has little left to improve."""
        ids = trained_index.view().lexical.segments.ids
        request = Request(WORDS, JUDGED, Ranking.of(ids, np.zeros(len(ids))))
        ((before, after),) = BiEncoderRanker().rank_both([request], Context.of(trained_index))

        def lead(ranking: Ranking) -> float:
            """By how much the documents of the relevant ones' topic that nobody judged lie above all the others."""
            unjudged = [(doc.startswith("sailing"), score) for doc, score in ranking if doc not in JUDGED.ids]
            return float(
                np.mean([s for like, s in unjudged if like]) - np.mean([s for like, s in unjudged if not like])
            )

        assert lead(after) > lead(before) + 0.05


@pytest.mark.parametrize("adapt", get_args(Changes))
def test_feedback_changes_the_ranking_and_the_one_before_is_told(adapt: Any, tiny_index: Index) -> None:
    context, ranker = Context.of(tiny_index), replace(RANKER, adapt=adapt)
    ((before, after),) = ranker.rank_both([Request(WORDS, GIVEN, POOL)], context)
    assert ranker.rank([Request(WORDS, candidates=POOL)], context) == [before]
    assert after.ids != before.ids or not np.array_equal(after.scores, before.scores)
    assert set(after.ids) == set(before.ids) == set(POOL.ids)
    assert context.degraded is None


def test_before_is_the_order_of_the_index_s_vectors(tiny_index: Index) -> None:
    context = Context.of(tiny_index)
    (dense,) = Dense(space="raw").rank([Request(WORDS, candidates=POOL)], context)
    (ranking,) = RANKER.rank([Request(WORDS, candidates=POOL)], context)
    assert ranking.ids == dense.ids
    np.testing.assert_allclose(ranking.scores, dense.scores, atol=1e-6)


def test_judged_documents_are_learned(tiny_index: Index) -> None:
    """With enough steps what was found relevant is above what was not."""
    candidates = Ranking.of(GIVEN.ids, [1, 2, 4, 3])
    eager = replace(RANKER, adapt="all", epochs=60)
    (ranking,) = eager.rank([Request(WORDS, GIVEN, candidates)], Context.of(tiny_index))
    assert set(ranking.ids[:2]) == {"sailing-02", "sailing-05"}


def test_it_encodes_the_head_of_the_candidates_and_keeps_the_rest(tiny_index: Index) -> None:
    ids = [f"{topic}-{n:02d}" for topic in ("coffee", "python") for n in range(12)]
    candidates = Ranking.of(ids, np.arange(24, 0, -1))
    for feedback in (GIVEN, Feedback.judged([], [])):
        request = Request(WORDS, feedback, candidates)
        (ranking,) = replace(RANKER, depth=5).rank([request], Context.of(tiny_index))
        assert set(ranking.ids[:5]) == set(candidates.ids[:5])
        assert ranking.ids[5:] == candidates.ids[5:]


def test_after_a_second_click_only_the_changed_layers_are_computed(
    tiny_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, query = Context.of(tiny_index), Query("new", "a mast and a keel")
    RANKER.rank([Request(query, Feedback.judged(["sailing-07"], []), POOL)], context)
    bert = bi_encoder(tiny_index.encoder(), RANKER.max_tokens).engine.model.bert
    monkeypatch.setattr(bert, "embed", lambda *_: pytest.fail("computed from the tokens"))
    (ranking,) = RANKER.rank([Request(query, Feedback.judged(["sailing-07"], ["coffee-03"]), POOL)], context)
    assert set(ranking.ids) == set(POOL.ids)


def test_a_known_delta_is_not_fitted_again(tiny_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    request, context = Request(Query("again", "tides"), GIVEN, POOL), Context.of(tiny_index)
    first = RANKER.rank([request], context)
    monkeypatch.setattr("ranking.learning.bi_encoder.adapt", lambda *_, **__: pytest.fail("fitted again"))
    assert RANKER.rank([request], context) == first


def test_the_order_of_clicks_changes_nothing(tiny_index: Index) -> None:
    turned = Feedback.of(GIVEN.ids[::-1], GIVEN.relevance[::-1], GIVEN.weight[::-1])
    context = Context.of(tiny_index)
    assert RANKER.rank([Request(WORDS, GIVEN)], context)[0].ids
    assert RANKER.rank([Request(WORDS, GIVEN, POOL)], context) == RANKER.rank([Request(WORDS, turned, POOL)], context)


def test_out_of_time_the_index_s_vectors_answer(tiny_index: Index) -> None:
    context, query = Context.of(tiny_index), Query("hasty", "never ranked before")
    (plain,) = RANKER.rank([Request(query, candidates=POOL)], context)
    assert context.degraded is None
    assert replace(RANKER, deadline_ms=0.0).rank([Request(query, GIVEN, POOL)], context) == [plain]
    assert context.degraded == "deadline"


def test_an_index_without_vectors_is_refused(lexical_index: Index) -> None:
    with pytest.raises(InputError, match="no embeddings"):
        RANKER.rank([Request(WORDS, candidates=POOL)], Context.of(lexical_index))


def test_an_encoder_of_another_shape_is_refused(dense_index: Index) -> None:
    with pytest.raises(InputError, match="cannot be adapted"):
        RANKER.rank([Request(WORDS, candidates=POOL)], Context.of(dense_index))


def test_it_says_what_it_is() -> None:
    assert isinstance(RANKER, Adapting)
    assert not isinstance(RANKER, Learned)  # the weights are the index's, and so in a pipeline's version already


def test_the_trace_shows_the_scores_before_adaptation(tiny_index: Index) -> None:
    stages = [
        {"name": "words", "part": "rocchio"},
        {"name": "bi", "part": "bi-encoder", "candidates": "words", "rate": 0.01},
    ]
    spec = specs_with({"mine": {"description": "", "stages": stages}}, "test")["mine"]
    (trace,) = Pipeline(spec, tiny_index).trace([Request(WORDS, GIVEN)])
    assert list(trace.stages) == ["words", "bi before", "bi"]
    assert trace.stages["bi before"] != trace.stages["bi"]

"""The cross-encoder as a ranker, with a tiny model from a directory."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from index.errors import OverloadedError
from index.index import Index
from index.types import Document, Query, Ranking
from ranking.config import specs_with
from ranking.context import Context
from ranking.contract import Adapting, Learned, Request
from ranking.cross_encoder import Adapts, CrossEncoderRanker
from ranking.feedback import Feedback
from ranking.learning import adaptation
from ranking.learning.engine import Engine
from ranking.learning.engines import engine, use
from ranking.pipeline import Pipeline
from tests.ranking.contract import POOL, WORDS, Answer, LearnsFromFeedback, RankerContract
from tests.ranking.learning.tiny import write_tiny

GIVEN = Feedback.judged(["sailing-02", "sailing-05"], ["coffee-01", "python-03"])


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoderRanker:
    directory = write_tiny(tmp_path_factory.mktemp("models") / "tiny", seed=3)
    return CrossEncoderRanker(model=str(directory), max_tokens=48, depth=100, rate=1e-2)


class TestZeroShot(RankerContract):
    @pytest.fixture
    def answer(self, ranker: CrossEncoderRanker, lexical_index: Index) -> Answer:
        plain = replace(ranker, adapt="none")
        return lambda requests: plain.rank(requests, Context.of(lexical_index))


class TestAdapted(LearnsFromFeedback):
    @pytest.fixture(params=["head", "biases"])
    def answer(self, request: pytest.FixtureRequest, ranker: CrossEncoderRanker, dense_index: Index) -> Answer:
        adapted = replace(ranker, adapt=request.param)
        return lambda requests: adapted.rank(requests, Context.of(dense_index))


@pytest.mark.parametrize("adapt", sorted(set(get_args(Adapts)) - {"none"}))
def test_feedback_changes_the_ranking_and_the_one_before_is_told(
    adapt: Any, ranker: CrossEncoderRanker, dense_index: Index
) -> None:
    context = Context.of(dense_index)
    ((before, after),) = replace(ranker, adapt=adapt).rank_both([Request(WORDS, GIVEN)], context)
    (zero_shot,) = replace(ranker, adapt="none").rank([Request(WORDS, GIVEN)], context)
    assert before == zero_shot
    assert after.ids != before.ids
    assert set(after.ids) == set(before.ids)
    assert context.degraded is None


def test_it_reads_the_head_of_the_candidates_and_keeps_the_rest(ranker: CrossEncoderRanker, dense_index: Index) -> None:
    ids = [f"{topic}-{n:02d}" for topic in ("coffee", "python") for n in range(12)]
    candidates = Ranking.of(ids, np.arange(24, 0, -1))
    (ranking,) = replace(ranker, depth=5).rank([Request(WORDS, GIVEN, candidates)], Context.of(dense_index))
    assert set(ranking.ids[:5]) == set(candidates.ids[:5])
    assert ranking.ids[5:] == candidates.ids[5:]


def test_after_a_click_only_the_adapted_model_is_computed(
    ranker: CrossEncoderRanker, dense_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first ranking has computed below the adapted layers is not computed again."""
    adapting = replace(ranker, adapt="biases", layers=1)
    own = engine(adapting.model, adapting.max_tokens)
    context, query = Context.of(dense_index), Query("new", "a mast and a keel")
    adapting.rank([Request(query, candidates=POOL)], context)
    embedded: list[int] = []
    embed = own.model.bert.embed
    monkeypatch.setattr(
        own.model.bert, "embed", lambda p, texts: embedded.append(len(texts.lengths)) or embed(p, texts)
    )
    adapting.rank([Request(query, Feedback.judged(["sailing-07"], ["coffee-03"]), POOL)], context)
    assert not embedded


def test_a_known_delta_is_not_fitted_again(
    ranker: CrossEncoderRanker, dense_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, context = Request(Query("again", "tides"), GIVEN, POOL), Context.of(dense_index)
    first = ranker.rank([request], context)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("ranking.learning.adaptation.adapt", never)
    assert ranker.rank([request], context) == first


def test_a_warm_start_goes_on_from_the_last_delta(ranker: CrossEncoderRanker, dense_index: Index) -> None:
    warm = replace(ranker, adapt="biases", warm=True, epochs=8)
    context = Context.of(dense_index)
    one, two = Feedback.judged(["sailing-02"], []), Feedback.judged(["sailing-02"], ["coffee-03"])
    query = Query("w", "harbour tack")
    warm.rank([Request(query, one, POOL)], context)
    (further,) = warm.rank([Request(query, two, POOL)], context)
    (cold,) = replace(warm, warm=False, epochs=4).rank([Request(query, two, POOL)], context)
    assert not np.array_equal(further.scores, cold.scores)


def test_out_of_time_the_candidates_come_as_they_were(ranker: CrossEncoderRanker, dense_index: Index) -> None:
    hasty = replace(ranker, deadline_ms=0.0)
    context = Context.of(dense_index)
    (ranking,) = hasty.rank([Request(Query("hasty", "never ranked before"), GIVEN, POOL)], context)
    assert ranking.ids == POOL.ids
    assert context.degraded == "deadline"


def test_out_of_time_while_adapting_the_best_so_far_counts(ranker: CrossEncoderRanker, dense_index: Index) -> None:
    endless = replace(ranker, adapt="biases", epochs=1000, rate=1e-4, deadline_ms=400.0)
    context, request = Context.of(dense_index), Request(Query("slow", "comet and moon"), GIVEN, POOL)
    replace(endless, deadline_ms=None, epochs=1).rank([request], context)  # the states are there: only steps take time
    (ranking,) = endless.rank([request], context)
    assert set(ranking.ids) == set(POOL.ids)
    assert context.degraded == "deadline"


@pytest.mark.parametrize("adapt", ["head", "biases"])
def test_two_sessions_that_adapt_the_same_query_at_once(
    adapt: Any, ranker: CrossEncoderRanker, dense_index: Index
) -> None:
    own = replace(ranker, adapt=adapt)
    request = Request(Query("same", f"galaxy and boat, {adapt}"), GIVEN, POOL)
    with ThreadPoolExecutor(4) as sessions:
        found = list(sessions.map(lambda _: own.rank([request], Context.of(dense_index)), range(4)))
    for (ranking,) in found:  # who shares a batch with whom leaves a trace in the rounding of fp32, and nowhere else
        expected = found[0][0].scores_by_id()
        assert ranking.scores_by_id() == pytest.approx(expected, abs=1e-4)


def test_an_overloaded_engine_is_the_caller_s_to_know(ranker: CrossEncoderRanker, dense_index: Index) -> None:
    own = engine(ranker.model, ranker.max_tokens)
    full = Engine(own.model, queue=1)
    full._tokens = 1  # somebody is being served
    use("full", full, ranker.max_tokens)
    with pytest.raises(OverloadedError):
        replace(ranker, model="full").rank([Request(WORDS, candidates=POOL)], Context.of(dense_index))


def test_long_texts_are_read_in_passages(ranker: CrossEncoderRanker, new_index: Any) -> None:
    """With enough passages, words at the end of a text change its score; without, they cannot."""
    ends = ["galaxy comet", "espresso beans", "mast keel rudder", "statin trial", "iterator", "moon tide harbour"]
    documents = [Document(f"d{n}", "", f"{'filler ' * 60}{end}") for n, end in enumerate(ends)]
    index = new_index(vectors=False, documents=documents, name="long")
    candidates = Ranking.of([document.id for document in documents], range(len(ends), 0, -1))

    def scores(passages: int) -> tuple[int, int]:
        """How many different scores there are, and how many texts were not read to their end."""
        context = Context.of(index)
        reading = replace(ranker, adapt="none", passages=passages)
        (ranking,) = reading.rank([Request(Query("q", "galaxy"), candidates=candidates)], context)
        return len(set(np.round(ranking.scores, 6))), context.truncated

    assert scores(1) == (1, len(ends))
    different, cut = scores(6)
    assert different > 1
    assert cut == 0


@pytest.mark.parametrize("text", ["", "word " * 100_000])
def test_empty_and_endless_documents(text: str, ranker: CrossEncoderRanker, new_index: Any) -> None:
    documents = [Document("odd", "", text or " "), Document("usual", "", "a boat in the harbour")]
    index = new_index(vectors=False, documents=documents, name="odd")
    candidates = Ranking.of(["odd", "usual"], [2, 1])
    feedback = Feedback.judged(["usual"], ["odd"])
    (ranking,) = ranker.rank([Request(Query("q", "boat"), feedback, candidates)], Context.of(index))
    assert set(ranking.ids) == {"odd", "usual"}
    assert bool(np.isfinite(ranking.scores).all())


@pytest.mark.parametrize("adapt", ["head", "biases"])
@pytest.mark.parametrize("given", [(["sailing-02", "sailing-05"], []), ([], ["coffee-01", "python-03"])])
def test_feedback_of_a_single_class(
    adapt: Any, given: tuple[list[str], list[str]], ranker: CrossEncoderRanker, dense_index: Index
) -> None:
    context = Context.of(dense_index)
    ((before, after),) = replace(ranker, adapt=adapt).rank_both([Request(WORDS, Feedback.judged(*given))], context)
    assert set(after.ids) == set(before.ids)
    assert bool(np.isfinite(after.scores).all())
    assert after != before
    assert context.degraded is None


def test_a_loss_that_is_not_finite_falls_back_and_says_so(
    ranker: CrossEncoderRanker, dense_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranking.learning.objectives import OBJECTIVES

    monkeypatch.setitem(OBJECTIVES, "binary", lambda scores, relevance, weight: scores.sum() * float("nan"))
    context = Context.of(dense_index)
    request = Request(Query("nan", "a comet and a keel"), GIVEN, POOL)
    ((before, after),) = replace(ranker, adapt="biases").rank_both([request], context)
    assert after == before
    assert context.degraded == "adaptation failed"
    monkeypatch.undo()
    fresh = Context.of(dense_index)  # what failed is not remembered
    ((before, after),) = replace(ranker, adapt="biases").rank_both([request], fresh)
    assert after != before
    assert fresh.degraded is None


def test_a_request_cancelled_in_the_middle_of_its_adaptation_leaves_nothing_behind(
    ranker: CrossEncoderRanker, dense_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waiting work nor a half-fitted delta nor a thread; the same request is then answered as ever."""
    own, adapting = engine(ranker.model, ranker.max_tokens), replace(ranker, adapt="biases", epochs=6)
    request = Request(Query("cancelled", "espresso on a boat"), GIVEN, POOL)
    replace(adapting, epochs=1).rank([Request(request.query, candidates=POOL)], Context.of(dense_index))
    deltas, threads = len(own.deltas), threading.active_count()
    whole, steps = adaptation._Steps._step, list[int]()

    def interrupted(self: adaptation._Steps, rows: Any) -> float:
        steps.append(len(rows))
        if len(steps) == 3:
            raise CancelledError
        return whole(self, rows)

    monkeypatch.setattr(adaptation._Steps, "_step", interrupted)
    with pytest.raises(CancelledError):
        adapting.rank([request], Context.of(dense_index))
    assert len(steps) == 3
    assert own.waiting_tokens == 0
    assert (len(own.deltas), threading.active_count()) == (deltas, threads)
    monkeypatch.undo()
    (again,) = adapting.rank([request], Context.of(dense_index))
    use("fresh", Engine(own.model), ranker.max_tokens)
    (expected,) = replace(adapting, model="fresh").rank([request], Context.of(dense_index))
    assert again.scores_by_id() == pytest.approx(expected.scores_by_id(), abs=1e-4)


def test_it_says_what_it_is(ranker: CrossEncoderRanker) -> None:
    assert isinstance(ranker, Adapting)
    assert isinstance(ranker, Learned)


def test_other_weights_are_another_stage(tmp_path: Path, ranker: CrossEncoderRanker, dense_index: Index) -> None:
    """A pipeline's version changes with the model's weights, though its options stay."""
    other = write_tiny(tmp_path / "other", seed=4)

    def spec(model: str) -> Any:
        stages = [{"name": "words", "part": "bm25"}, {"part": "cross-encoder", "candidates": "words", "model": model}]
        return specs_with({"mine": {"description": "", "stages": stages}}, "test")["mine"]

    first = spec(str(other)).digest
    assert spec(str(other)).digest == first
    assert spec(ranker.model).digest != first


def test_the_trace_shows_the_scores_before_adaptation(ranker: CrossEncoderRanker, dense_index: Index) -> None:
    stages = [
        {"name": "words", "part": "rocchio"},
        {"name": "ce", "part": "cross-encoder", "candidates": "words", "model": ranker.model, "max_tokens": 48},
    ]
    spec = specs_with({"mine": {"description": "", "stages": stages}}, "test")["mine"]
    (trace,) = Pipeline(spec, dense_index).trace([Request(WORDS, GIVEN)])
    assert list(trace.stages) == ["words", "ce before", "ce"]
    assert set(trace.stages["ce before"].ids) == set(trace.stages["ce"].ids)
    assert trace.stages["ce before"] != trace.stages["ce"]

"""Pipelines at work: what stages read, what is executed once, one snapshot per call, versions and traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from index.index import Index
from index.types import Document, Query, Ranking
from ranking.bm25 import Bm25
from ranking.config import build_pipeline, load_specs, specs_with
from ranking.context import Context
from ranking.contract import Fuser, Ranker, Request
from ranking.feedback import Feedback
from ranking.fusion import CombSum, ReciprocalRank
from ranking.knn import Knn
from ranking.pipeline import Pipeline, PipelineSpec, Stage, rank_together
from tests.fakes import HashingEncoder

QUERY = Query("q", "sailing with coffee in the orbit of a star")
JUDGED = Feedback.judged(["sailing-02", "sailing-05"], ["coffee-01"])


@dataclass(frozen=True)
class Noting:
    """BM25 that keeps the requests it was asked, and can do something before it answers."""

    needs_vectors: ClassVar[bool] = False
    label: str = ""
    depth: int = 1000
    asked: list[Request] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)
    before: list[Callable[[], Any]] = field(default_factory=list)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        for act in self.before:
            act()
        self.asked.extend(requests)
        self.contexts.append(context)
        return Bm25(depth=self.depth).rank(requests, context)

    def __deepcopy__(self, memo: object) -> Noting:
        return self


class Keyed(Stage):
    """A stage whose key does not look into its (unhashable) notes."""

    @property
    def key(self) -> str:  # type: ignore[override]
        return f"{self.part} {getattr(self.does, 'label', '')} {[stage.key for stage in self.reads]}"


def pipeline(index: Index, *stages: Stage, name: str = "test") -> Pipeline:
    return Pipeline(PipelineSpec(name, "", stages), index)


def stage(name: str, does: Ranker | Fuser, *reads: Stage) -> Stage:
    return Keyed(name, name, does, reads)


def test_a_stage_is_given_what_it_reads(dense_index: Index) -> None:
    words, again = Noting(), Noting()
    first = stage("words", words)
    second = stage("again", again, first)
    made = pipeline(dense_index, first, second, stage("both", ReciprocalRank(), second, first))
    request = Request(QUERY, JUDGED, limit=3, exclude_feedback=True)
    (trace,) = made.trace([request])
    # Stages see everything: neither the limit nor what the answer leaves out changes the candidates.
    assert words.asked == [Request(QUERY, JUDGED)]
    assert again.asked == [Request(QUERY, JUDGED, trace.stages["words"])]
    fused = ReciprocalRank().fuse([trace.stages["again"], trace.stages["words"]])
    assert trace.stages["both"] == fused
    assert trace.ranking == fused.without(JUDGED.ids).head(3)


def test_the_first_stages_order_the_candidates_of_the_request(dense_index: Index) -> None:
    noting, pool = Noting(), Ranking.of(["coffee-03", "sailing-07"], [2, 1])
    pipeline(dense_index, stage("words", noting)).rank([Request(QUERY, candidates=pool)])
    assert noting.asked[0].candidates == pool


def test_a_limit_beyond_the_depth_goes_through(dense_index: Index) -> None:
    noting = Noting(depth=5)
    made = pipeline(dense_index, stage("words", noting))
    request = Request(QUERY, JUDGED, limit=20, exclude_feedback=True)
    (ranking,) = made.rank([request])
    assert noting.asked[0].limit == 23  # so that 20 are left without the three
    assert len(ranking) == 20


def test_equal_stages_of_pipelines_that_rank_together_run_once(dense_index: Index) -> None:
    shared, other = Noting(), Noting(label="other")
    one, two = stage("words", shared), stage("words", shared)
    left = pipeline(dense_index, one, stage("knn", Knn(), one), name="left")
    right = pipeline(dense_index, two, stage("sum", CombSum(), two), name="right")
    apart = pipeline(dense_index, stage("words", other), name="apart")
    traces = rank_together([left, right, apart], [Request(QUERY)])
    assert len(shared.asked) == len(other.asked) == 1
    assert shared.contexts[0] is other.contexts[0]
    assert [run[0].ranking for run in traces] == [made.rank([Request(QUERY)])[0] for made in (left, right, apart)]
    assert traces[0][0].stages["words"] is traces[1][0].stages["words"]


def test_the_default_pipelines_rank_together_as_alone(dense_index: Index, encoder: HashingEncoder) -> None:
    # bi-ft adapts the index's own encoder, and this index has a stand-in for one.
    made = [build_pipeline(name, load_specs(), dense_index) for name in load_specs() if name != "bi-ft"]
    requests = [Request(QUERY, JUDGED), Request(Query("r", "boat")), Request(Query("s", ""), JUDGED)]
    alone = [one.rank(requests) for one in made]
    fresh = Index.open(dense_index.path, encoder=encoder)  # one that remembers no query
    made = [build_pipeline(one.name, load_specs(), fresh) for one in made]
    calls = encoder.calls
    assert [[trace.ranking for trace in traces] for traces in rank_together(made, requests)] == alone
    assert encoder.calls == calls + 1  # all queries in one go, once for all pipelines


def test_ranking_together_needs_one_index(dense_index: Index, lexical_index: Index) -> None:
    assert rank_together([], [Request(QUERY)]) == []
    made = [build_pipeline("bm25", load_specs(), index) for index in (dense_index, lexical_index)]
    with pytest.raises(ValueError, match="different indexes"):
        rank_together(made, [Request(QUERY)])


def test_all_stages_of_a_call_read_one_snapshot(new_index: Callable[..., Index]) -> None:
    index = new_index()
    late = Document("late", "", "sailing sailing sailing")
    early = stage("early", Noting(label="early"))
    update = Noting(label="update", before=[lambda: index.upsert([late])])
    updating = stage("update", update)
    made = pipeline(index, early, updating, stage("sum", CombSum(), early, updating))
    (trace,) = made.trace([Request(Query("q", "sailing"))])
    assert "late" in index.view().lexical
    assert trace.stages["early"] == trace.stages["update"]
    assert "late" not in trace.ranking.ids
    assert made.rank([Request(Query("q", "sailing"))])[0].ids[0] == "late"


def test_a_query_is_encoded_once_and_only_where_it_is_needed(dense_index: Index, encoder: HashingEncoder) -> None:
    requests = [Request(QUERY, JUDGED), Request(Query("other", QUERY.text)), Request(Query("silent", "the of"), JUDGED)]
    index = Index.open(dense_index.path, encoder=encoder)  # one that remembers no query
    calls = encoder.calls
    build_pipeline("bm25-qe", load_specs(), index).rank(requests)
    assert encoder.calls == calls
    (trace, *_) = build_pipeline("fused", load_specs(), index).trace(requests)
    assert encoder.calls == calls + 1
    assert trace.timings_ms["encode"] >= 0
    build_pipeline("fused", load_specs(), index).rank([requests[2]])
    assert encoder.calls == calls + 1  # a query that says nothing is not encoded


def test_a_trace_has_every_stage_and_its_time(dense_index: Index) -> None:
    spec = load_specs()["fused"]
    (trace,) = Pipeline(spec, dense_index).trace([Request(QUERY, JUDGED)])
    names = [stage.name for stage in spec.stages]
    assert list(trace.stages) == names
    assert list(trace.timings_ms) == [*names, "encode", "total"]
    assert trace.ranking == trace.stages[names[-1]]
    assert sum(trace.timings_ms[name] for name in [*names, "encode"]) <= trace.timings_ms["total"] * 1.001


def test_the_version_names_the_specification_and_the_generation(
    dense_index: Index, new_index: Callable[..., Index]
) -> None:
    other = new_index(vectors=False)
    specs = specs_with({"same": {"stages": [{"part": "bm25", "depth": 1000}]}}, "here")
    deeper = specs_with({"bm25": {"stages": [{"part": "bm25", "depth": 1001}]}}, "here")
    version = Pipeline(specs["bm25"], dense_index).version
    assert len(version) == 12
    assert Pipeline(specs["same"], dense_index).version == version  # the default depth written out is no other pipeline
    assert Pipeline(deeper["bm25"], dense_index).version != version
    assert Pipeline(specs["bm25"], other).version != version
    before = Pipeline(specs["bm25"], other).version
    other.delete(["coffee-01"])
    assert Pipeline(specs["bm25"], other).version == before  # an update is no new generation


def test_keys_tell_stages_apart() -> None:
    words = Stage("words", "bm25", Bm25())
    assert words.key == Stage("renamed", "bm25", Bm25()).key
    assert words.key != Stage("words", "bm25", Bm25(depth=7)).key
    assert Stage("knn", "knn", Knn(), (words,)).key != Stage("knn", "knn", Knn()).key


def test_queries_that_cannot_be_encoded_as_they_are(dense_index: Index) -> None:
    context = Context.of(dense_index)
    queries = [Query("a", "boat \ud800 mast"), Query("b", "boat\0mast"), Query("c", "")]
    vectors = context.query_vectors(queries, "raw")
    assert vectors.shape == (3, context.vectors.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0], atol=1e-6)
    assert context.query_vectors([], "raw").shape == (0, context.vectors.dimension)

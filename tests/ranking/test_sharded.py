"""Rankers and pipelines do not know that an index is in shards: their rankings are those of the one index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index.build import BuildOptions, build_index
from index.filters import parse_filter
from index.index import Index
from index.metric import Metric
from index.types import Document, Query, Ranking
from ranking.config import build_pipeline, load_specs
from ranking.context import Context
from ranking.contract import Request
from ranking.feedback import NO_FEEDBACK
from tests.fakes import HashingEncoder
from tests.ranking.contract import GRADED, JUDGED, POOL, WORDS

NAMES = ("bm25", "bm25-qe", "rm3", "knn", "knn-paper", "probe", "fused", "smoothed")
FILTERED = Query("filtered", WORDS.text, parse_filter("part < 6"))


@pytest.fixture(scope="module")
def sharded(
    tmp_path_factory: pytest.TempPathFactory, corpus: list[Document], encoder: HashingEncoder
) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("indexes") / "sharded"
    build_index(path, corpus, BuildOptions(shards=4), encoder=encoder)
    index = Index.open(path, encoder=encoder)
    yield index
    index.close()


def requests() -> list[Request]:
    return [
        Request(query, feedback, candidates)
        for query in (WORDS, FILTERED, Query("short", "boat"))
        for feedback in (NO_FEEDBACK, JUDGED, GRADED)
        for candidates in (None, POOL)
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if name in load_specs()])
def test_pipelines(name: str, dense_index: Index, sharded: Index) -> None:
    whole, parts = (build_pipeline(name, load_specs(), index) for index in (dense_index, sharded))
    expected, found = whole.rank(requests()), parts.rank(requests())
    assert found == expected
    assert all(len(ranking) for ranking in found)
    assert whole.explain(Request(WORDS), "sailing-02") is not None
    assert parts.explain(Request(WORDS), "sailing-02") is not None


def test_a_learned_metric_holds_for_all_shards(tmp_path: Path, corpus: list[Document], encoder: HashingEncoder) -> None:
    rankings = []
    for name, shards in (("whole", None), ("three", 3)):
        build_index(tmp_path / name, corpus, BuildOptions(shards=shards), encoder=encoder)
        index = Index.open(tmp_path / name, encoder=encoder)
        vectors = index.view().vectors
        assert vectors is not None
        matrix = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
        index.learn(Metric(matrix, vectors.space_digest))
        again = Index.open(tmp_path / name, encoder=encoder).view().vectors
        assert again is not None
        assert again.learned.metric is not None
        rankings.append(build_pipeline("smoothed", load_specs(), index).rank(requests()))
    assert rankings[0] == rankings[1]


def test_a_deadline_ends_the_waiting_for_shards(sharded: Index) -> None:
    pipeline = build_pipeline("bm25", load_specs(), sharded)
    context = Context.of(sharded, deadline=time.perf_counter() + 60)
    assert context.view.asking is not None
    context.view.asking.missing[2] = "it took too long."  # as if it had not answered
    (trace,) = pipeline.trace([Request(WORDS)], context)
    (whole,) = pipeline.rank([Request(WORDS)])
    assert trace.degraded == "shards missing"
    assert context.view.asking.deadline == context.deadline
    assert 0 < len(trace.ranking) < len(whole)
    assert isinstance(trace.ranking, Ranking)
    scores = whole.scores_by_id()
    assert all(scores[doc] == score for doc, score in trace.ranking)

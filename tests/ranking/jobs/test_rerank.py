"""Re-ranking jobs: what goes in, what comes out, and that it is what /v1/search answers."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.errors import InputError
from index.index import Index
from index.types import Query, Ranking
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page
from ranking.config import build_pipeline, load_specs
from ranking.contract import Request
from ranking.feedback import Feedback
from ranking.jobs import Job, run
from ranking.jobs.local import LocalEngine
from ranking.learning.click_tasks import read_soft_judgements
from tests.ranking.jobs.conftest import rerank_job
from tests.server.conftest import client_of, make_service_at

CLIPPED = "[pipelines.words-and-ce]\nstages = [{ part = 'bm25' }, "
CLIPPED += "{ part = 'cross-encoder', candidates = 'bm25', depth = 4, max_tokens = 64, deadline_ms = 0.0 }]\n"


def rankings(out: Path) -> dict[str, Ranking]:
    """The rankings of a job, each as it lies in the file."""
    table = pq.read_table(out)
    found: dict[str, tuple[list[str], list[float]]] = {}
    for row in table.to_pylist():
        ids, scores = found.setdefault(row["query_id"], ([], []))
        assert row["rank"] == len(ids) + 1
        ids.append(row["document"])
        scores.append(row["score"])
    return {query: Ranking(ids, np.array(scores)) for query, (ids, scores) in found.items()}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_same_input_gives_the_scores_of_v1_search(real_index: Index, tmp_path: Path) -> None:
    rows = [
        {"query_id": "1", "query": " statin trial\0"},
        {"query_id": "2", "query": "wind", "feedback": [{"document": "sailing-03", "relevance": 0.7, "weight": 0.5}]},
        {
            "query_id": "3",
            "query": "orbit of a comet",
            "filter": "part < 9",
            "feedback": [{"document": "astronomy-01"}, {"document": "astronomy-02", "relevance": 0}],
        },
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    service = make_service_at(tmp_path / "home", {"real": real_index})
    with closing(service), client_of(service) as client:
        for pipeline in ("fused", "bm25-qe"):
            out = tmp_path / pipeline
            run(rerank_job(real_index, tmp_path / "rows.jsonl", out, pipeline=pipeline))
            ours = rankings(out)
            for row in rows:
                given = [{"relevance": 1.0, **one} for one in row.get("feedback", [])]
                ask = {"query": row["query"].strip("\0 "), "pipeline": pipeline, "limit": 50, "feedback": given}
                answer = client.post("/v1/search", json={**ask, "filter": row.get("filter")}).json()
                ranked = ours[row["query_id"]].head(50)
                assert [hit["id"] for hit in answer["hits"]] == list(ranked.ids)
                np.testing.assert_allclose([hit["score"] for hit in answer["hits"]], ranked.scores, atol=1e-5)


def test_candidates_are_what_is_ranked_and_stages_are_kept(dense_index: Index, tmp_path: Path) -> None:
    documents = ["coffee-00", "sailing-05", "python-03", "coffee-07"]
    rows = [
        {"query_id": "q", "query": "coffee beans", "documents": documents, "scores": [1.0, 2.0, 3.0, 4.0]},
        {"query_id": "none", "query": "coffee", "documents": []},
    ]
    job = rerank_job(
        dense_index, write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out", pipeline="bm25-qe", stages=True
    )
    run(job)
    table = pq.read_table(tmp_path / "out")
    spec = load_specs()["bm25-qe"]
    wanted = build_pipeline("bm25-qe", {"bm25-qe": spec}, dense_index).rank(
        [Request(Query("q", "coffee beans"), candidates=Ranking.of(documents, [1.0, 2.0, 3.0, 4.0]))]
    )[0]
    assert rankings(tmp_path / "out") == {"q": wanted}
    assert table.column_names == ["query_id", "document", "rank", "score", "score_rocchio"]
    assert table["score_rocchio"].to_pylist() == wanted.scores.tolist()


def test_a_trec_run_goes_in_and_out(lexical_index: Index, tmp_path: Path) -> None:
    (tmp_path / "in.run").write_text(
        "1 Q0 coffee-01 1 9.5 x\n1 Q0 coffee-02 2 9.0 x\n1 Q0 sailing-01 3 1 x\n"
        "7 Q0 sailing-01 1 3 x\n7 Q0 sailing-02 2 3 x\n9 Q0 sailing-02 2 3 x\n"
    )
    (tmp_path / "topics.trec").write_text(
        "<top><num> Number: 1 <title> coffee\n beans </top><top><num>7</num><title>sailing &amp; wind</title></top>"
    )
    job = rerank_job(
        lexical_index,
        tmp_path / "in.run",
        tmp_path / "out",
        topics=str(tmp_path / "topics.trec"),
        pipeline="bm25",
        run=str(tmp_path / "out.run"),
    )
    summary = run(job)
    lines = [line.split() for line in (tmp_path / "out.run").read_text().splitlines()]
    assert [(line[0], line[3]) for line in lines] == [("1", "1"), ("1", "2"), ("1", "3"), ("7", "1"), ("7", "2")]
    ours = rankings(tmp_path / "out")
    assert [line[2] for line in lines] == [*ours["1"].ids, *ours["7"].ids]
    scores = [float(line[4]) for line in lines]
    assert scores[0] > scores[1] > scores[2]
    assert scores[3] > scores[4]
    (reject,) = map(json.loads, (tmp_path / "out" / "_rejects.jsonl").read_text().splitlines())
    assert (summary.rejected, reject["query_id"], reject["reason"]) == (1, "9", "unknown topic")
    written = (tmp_path / "out.run").read_text()
    again = run(replace(job, options={**job.options, "run": str(tmp_path / "again.run")}))  # asked for when all is done
    assert (again.resumed, (tmp_path / "again.run").read_text()) == (summary.rows, written)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_run_has_one_ranking_for_a_query(lexical_index: Index, tmp_path: Path, ending: str) -> None:
    rows = [{"_id": name, "query": "coffee"} for name in (1, 2, 3, 2, 1)]
    if ending == "jsonl":
        write_rows(tmp_path / "rows.jsonl", rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=2)
    options = {"pipeline": "bm25", "part_rows": 2, "limit": 3}
    where = lexical_index, tmp_path / f"rows.{ending}", tmp_path / "out"
    with pytest.raises(InputError, match="Rows 2 and 4 have the query_id '2'"):
        run(rerank_job(*where, **options, run=str(tmp_path / "out.run")), overwrite=True)
    assert not (tmp_path / "out.run").exists()
    assert not list((tmp_path / "out").glob("part-*"))
    run(rerank_job(*where, **options))  # rows may share an id where there is no run
    assert pq.read_table(tmp_path / "out")["query_id"].to_pylist() == [i for i in "12321" for _ in range(3)]
    with pytest.raises(InputError, match="Two rankings have the query_id '2'"):
        run(rerank_job(*where, **options, run=str(tmp_path / "out.run")))
    assert not (tmp_path / "out.run").exists()


def test_feedback_of_judgements_and_of_a_click_log(real_index: Index, tmp_path: Path) -> None:
    (tmp_path / "q.qrels").write_text("a 0 coffee-05 2\na 0 sailing-01 0\n")
    shown = [f"coffee-{i:02d}" for i in range(10)]
    page = Page("page-1", "coffee", shown, events=[Event("coffee-03", rank=4)])
    ClickLog.write(tmp_path / "log", [page])
    rows = write_rows(tmp_path / "rows.jsonl", [{"query_id": "a", "query": "coffee"}])
    pipeline = build_pipeline("knn", load_specs(), real_index)
    soft = read_soft_judgements(tmp_path / "log")
    clicked = Feedback.of(
        soft.relevance["coffee"], list(soft.relevance["coffee"].values()), list(soft.weight["coffee"].values())
    )
    for name, feedback in (("q.qrels", Feedback.judged(["coffee-05"], ["sailing-01"])), ("log", clicked)):
        run(rerank_job(real_index, rows, tmp_path / f"by-{name}", pipeline="knn", feedback=str(tmp_path / name)))
        wanted = pipeline.rank([Request(Query("a", "coffee"), feedback, limit=1000)])[0]
        (ours,) = rankings(tmp_path / f"by-{name}").values()
        assert ours.ids == wanted.ids
        np.testing.assert_allclose(ours.scores, wanted.scores, atol=1e-6)


def test_texts_without_an_index(tmp_path: Path) -> None:
    rows = [
        {
            "query_id": "1",
            "query": "a boat in the wind",
            "documents": ["x", "y"],
            "texts": ["Coffee is brewed from roasted beans.", "The boat tacks against the wind."],
            "feedback": [{"document": "y"}],
        },
        {"query_id": "2", "query": "beans", "texts": ["Coffee is brewed from roasted beans.", "Stars and planets."]},
        {"query_id": "3", "query": "beans", "documents": ["x"], "texts": ["a", "b"]},
    ]
    options = {"texts": True, "pipeline": "fused"}
    job = Job("rerank", str(write_rows(tmp_path / "rows.jsonl", rows)), str(tmp_path / "out"), options)
    summary = run(job)
    found = rankings(tmp_path / "out")
    assert found["1"].ids == ("y", "x")
    assert len(found["2"]) == 2
    assert summary.rejected == 1


def test_files_in_a_folder_are_read_in_order_and_large_groups_are_cut(lexical_index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    ids = [f"{i:03d}" for i in range(70)]
    queries = ["coffee", "wind", "star"]
    for name, some in (("a.parquet", ids[:45]), ("deep/b.parquet", ids[45:])):
        table = pa.table({"qid": some, "query": [queries[int(i) % 3] for i in some]})
        pq.write_table(table, folder / name, row_group_size=45)
    job = rerank_job(lexical_index, folder, tmp_path / "out", pipeline="bm25", part_rows=20, limit=1)
    summary = run(job)
    assert (summary.rows, summary.parts) == (70, 4)
    assert pq.read_table(tmp_path / "out")["query_id"].to_pylist() == ids


@pytest.mark.kill
def test_processes_give_the_bytes_of_one_process_also_with_a_cross_encoder(real_index: Index, tmp_path: Path) -> None:
    """Whatever the number of workers and threads; and a pipeline's deadline, here one of no time at all, is ignored."""
    config = tmp_path / "clickwise.toml"
    config.write_text(CLIPPED)
    rows = [
        {"query_id": str(i), "query": word, "feedback": [{"document": "coffee-01"}]}
        for i, word in enumerate(["coffee", "wind", "star", "python list", "heart"] * 9)
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    outputs = []
    for number, engine in enumerate((LocalEngine(1, 2), LocalEngine(2, 1))):
        out = tmp_path / str(number)
        job = rerank_job(
            real_index, tmp_path / "rows.jsonl", out, pipeline="words-and-ce", config=str(config), part_rows=15
        )
        assert "degraded" not in run(job, engine).counts
        outputs.append({file.name: file.read_bytes() for file in out.glob("part-*")})
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("part_rows", [10, 2])
def test_a_bad_byte_in_parquet_costs_its_row_only(lexical_index: Index, tmp_path: Path, part_rows: int) -> None:
    """Read where it lies, and copied into smaller row groups."""
    texts = pa.array([b"coffee", b"caf\xe9 au lait", b"wind"], pa.binary())
    bad = pa.Array.from_buffers(pa.string(), 3, texts.buffers())
    pq.write_table(pa.table({"query_id": [1, 2, 3], "query": bad}), tmp_path / "rows.parquet")
    summary = run(
        rerank_job(lexical_index, tmp_path / "rows.parquet", tmp_path / "out", pipeline="bm25", part_rows=part_rows)
    )
    (reject,) = map(json.loads, (tmp_path / "out" / "_rejects.jsonl").read_text().splitlines())
    assert (reject["row"], reject["reason"], summary.rejected) == (2, "bad UTF-8", 1)
    assert set(rankings(tmp_path / "out")) == {"1", "3"}


def test_a_field_that_is_nearly_one_of_ours_does_not_count_for_nothing(real_index: Index, tmp_path: Path) -> None:
    rows = [
        {"query_id": "1", "query": "statin", "document": ["coffee-00"]},
        {"query_id": "2", "query": "statin", "note": "one's own business"},
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    summary = run(rerank_job(real_index, tmp_path / "rows.jsonl", tmp_path / "out"))
    assert summary.rejected == 1
    reject = json.loads((tmp_path / "out" / "_rejects.jsonl").read_text())
    assert "did you mean `documents`?" in reject["detail"]
    assert set(rankings(tmp_path / "out")) == {"2"}
    pq.write_table(pa.Table.from_pylist(rows[:1]), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="did you mean `documents`"):
        run(rerank_job(real_index, tmp_path / "rows.parquet", tmp_path / "other"))

"""What Prometheus reads: counted as answers go out, read when it asks, and with labels that nobody can blow up."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from index.build import build_index
from index.encoder import load_encoder
from index.errors import UnavailableError
from index.index import Index
from index.types import Document
from server.app import create_app
from server.jobs.queue import Queue
from server.middleware import Envelope
from server.service import Service
from server.store import Store
from server.store.tables import jobs
from server.watch import UNMATCHED, Watch
from tests.ranking.learning.tiny import FRAME, write_sentences, write_tiny
from tests.server.conftest import MakeService, client_of


def scrape(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample: its name and the values of its labels, sorted by name -> its value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_search_and_feedback(make_service: MakeService, dense_index: Index) -> None:
    with client_of(make_service({"dense": dense_index})) as client:
        first = client.post("/v1/search", json={"query": "espresso"}).json()
        told = {"query_id": first["query_id"], "document": first["hits"][0]["id"], "kind": "click"}
        for _ in range(2):
            client.post("/v1/feedback", json={**told, "idempotency_key": "once"})
        client.post("/v1/search", json={"query_id": first["query_id"]})
        client.post("/v1/search", json={"query_id": first["query_id"], "offset": 10})
        client.post("/v1/search", json={"query": ""})
        seen = scrape(client)
    assert seen["http_requests_total", "POST", "/v1/search", "200"] == 3
    assert seen["http_requests_total", "POST", "/v1/search", "422"] == 1
    assert seen["http_request_duration_seconds_count", "POST", "/v1/search"] == 4
    assert seen["clickwise_problems_total", "invalid-input", "/v1/search"] == 1
    assert seen["http_requests_in_progress",] == 1  # this one
    for kind in ("first", "again", "page"):
        assert seen["clickwise_searches_total", "dense", kind, "smoothed"] == 1
    for stage in ("encode", "store", "hits", "sum"):
        assert seen["clickwise_stage_duration_seconds_count", stage] >= 1, stage
    assert ("clickwise_stage_duration_seconds_count", "total") not in seen
    assert seen["clickwise_feedback_total", "recorded"] == seen["clickwise_feedback_total", "duplicate"] == 1
    assert seen["clickwise_queue_duration_seconds_count",] == 6
    assert seen["clickwise_cache_requests_total", "queries", "dense", "hit"] >= 1
    assert seen["clickwise_store_write_duration_seconds_count", "done"] == 5
    assert seen["clickwise_store_write_duration_seconds_sum", "done"] > 0
    assert seen["clickwise_store_commit_writes_sum",] == seen["clickwise_store_commit_writes_bucket", "1.0"] == 5


def test_what_is_read_when_asked(make_service: MakeService, lexical_index: Index) -> None:
    with client_of(make_service({"lexical": lexical_index}, threads=3, max_waiting=5)) as client:
        seen = scrape(client)
    assert seen["clickwise_ready",] == 1
    for lane, threads in (("answers", 3), ("writes", 1)):
        assert (seen["clickwise_workers", lane], seen["clickwise_queue_limit", lane]) == (threads, 5)
        assert (seen["clickwise_workers_busy", lane], seen["clickwise_queue_size", lane]) == (0, 0)
    assert seen["clickwise_index_documents", "lexical"] == 60
    assert seen["clickwise_index_generation", lexical_index.view().generation, "lexical"] == 1
    assert 0 < seen["jvm_memory_used_bytes", "heap"] <= seen["jvm_memory_max_bytes", "heap"]
    assert seen["process_resident_memory_bytes",] > 1e7
    assert any(name[0] == "clickwise_build_info" for name in seen)


def test_models_their_caches_and_what_was_degraded(
    make_service: MakeService, lexical_index: Index, tmp_path: Path
) -> None:
    model = str(write_tiny(tmp_path / "tiny"))
    reader = {"part": "cross-encoder", "model": model, "candidates": "qe", "depth": 10, "prior": "none"}
    stages = [{"name": "qe", "part": "rocchio"}, {"name": "ce", **reader}]
    hasty = [{"name": "qe", "part": "rocchio"}, {"name": "ce", **reader, "deadline_ms": 0.0}]
    pipelines = {"mine": {"stages": stages}, "hasty": {"stages": hasty}}
    service = make_service({"lexical": lexical_index}, pipelines=pipelines, default_pipeline="mine")
    with client_of(service) as client:
        first = client.post("/v1/search", json={"query": "espresso beans"}).json()
        client.post(
            "/v1/feedback",
            json={"query_id": first["query_id"], "document": first["hits"][0]["id"], "kind": "relevant"},
        )
        for _ in range(2):
            client.post("/v1/search", json={"query_id": first["query_id"]})
        seen = scrape(client)
        batches = seen["clickwise_model_batch_texts_count", model]
        assert seen["clickwise_model_batch_texts_sum", model] >= batches >= 1
        assert seen["clickwise_model_batch_tokens_sum", model] > seen["clickwise_model_batch_texts_sum", model]
        assert seen["clickwise_model_batch_tokens_bucket", "+Inf", model] == batches
        assert seen["clickwise_model_batch_duration_seconds_sum", model] > 0
        assert seen["clickwise_model_queue_tokens", model] == 0
        assert seen["clickwise_cache_requests_total", "deltas", model, "hit"] == 1  # the adaptation was remembered
        assert seen["clickwise_cache_requests_total", "deltas", model, "miss"] == 1
        assert seen["clickwise_cache_requests_total", "states", model, "hit"] > 0
        assert (
            0 < seen["clickwise_cache_bytes", "states", model] <= seen["clickwise_cache_limit_bytes", "states", model]
        )
        late = client.post("/v1/search", json={"query": "a new one on boats", "pipeline": "hasty"}).json()
        assert late["degraded"] == "deadline"
        assert scrape(client)["clickwise_degraded_total", "deadline"] == 1


def test_sentence_encoders(make_service: MakeService, corpus: list[Document], tmp_path: Path) -> None:
    """One that we compute ourselves, and one that sentence-transformers does."""
    models = {"plain": write_sentences(tmp_path / "plain"), "foreign": write_sentences(tmp_path / "foreign")}
    pooling = {"word_embedding_dimension": FRAME.width, "pooling_mode_max_tokens": True}  # which ours does not do
    (tmp_path / "foreign" / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    for name, model in models.items():
        build_index(tmp_path / name, corpus[:20], encoder=load_encoder(str(model)))
    opened = {name: Index.open(tmp_path / name) for name in models}
    service = make_service(opened)
    with client_of(service) as client:
        assert not any("encoder_batch" in name for name, *_ in scrape(client))  # none is loaded yet
        for name in models:
            assert client.post("/v1/search", json={"query": "espresso", "index": name}).json()["hits"]
        seen = scrape(client)
    for name, model in models.items():
        labels = (name, str(model))
        assert seen["clickwise_encoder_batch_texts_count", *labels] >= 1
        assert seen["clickwise_encoder_batch_texts_sum", *labels] >= 1
        assert seen["clickwise_encoder_batch_duration_seconds_sum", *labels] > 0
        counted = seen["clickwise_encoder_batch_tokens_sum", *labels]
        assert counted >= 3 if name == "plain" else counted == 0  # the library keeps its tokens to itself


def test_callers_cannot_add_series(make_service: MakeService, lexical_index: Index) -> None:
    with client_of(make_service({"lexical": lexical_index})) as client:
        for number in range(5):
            client.get(f"/nothing/{number}")
            client.get(f"/v1/documents/no-{number}")
            client.request(f"M{number}", "/v1/search")
            client.post("/v1/search", json={"query": f"words {number}", "session_id": f"s{number}"})
        series = {name for name in scrape(client) if name[0].startswith(("http_requests_total", "clickwise_"))}
    http = {name for name in series if name[0] == "http_requests_total"}
    assert http == {
        ("http_requests_total", "GET", UNMATCHED, "404"),
        ("http_requests_total", "GET", "/v1/documents/{document_id}", "404"),
        ("http_requests_total", "other", "/v1/search", "405"),
        ("http_requests_total", "POST", "/v1/search", "200"),
    }
    assert not any("words" in value or value.startswith("s1") for name in series for value in name)


def test_documents_that_are_written(own: Service) -> None:
    with client_of(own) as client:
        client.put("/v1/documents/new", json={"text": "new"})
        client.post("/v1/documents:bulk", content=b'{"id": "a", "text": "a"}\n{"id": "b", "text": "b"}\n')
        assert scrape(client)["clickwise_documents_written_total", "own"] == 3


def test_jobs_that_wait_and_run(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index})
    queue = Queue(service.store)
    for number in range(3):
        queue.add("rerank", str(number))
    queue.take("one")
    with service.store.writing() as connection:
        connection.execute(update(jobs).values(created_ms=jobs.c.created_ms - 60_000))
    with client_of(service) as client:
        seen = scrape(client)
    assert (seen["clickwise_jobs", "queued"], seen["clickwise_jobs", "running"]) == (2, 1)
    assert seen["clickwise_jobs_oldest_seconds", "queued"] >= 60
    assert 0 <= seen["clickwise_jobs_oldest_seconds", "running"] < 60


def test_a_store_that_does_not_answer_hides_the_jobs_alone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Queue) -> Any:
        raise UnavailableError("It does not answer.")

    with client_of(service) as client:
        assert scrape(client)["clickwise_jobs", "queued"] == 0
        monkeypatch.setattr(Queue, "backlog", away)
        seen = scrape(client)
    assert ("clickwise_jobs", "queued") not in seen
    assert seen["clickwise_ready",] == 1


def test_what_was_released(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index})
    service.releases.activate("click-model", "", "published", share=0.25)
    with client_of(service) as client:
        seen = scrape(client)
    assert seen["clickwise_release", "click-model", "", "published"] == 0.25


def test_an_index_that_cannot_be_read_does_not_hide_the_rest(
    make_service: MakeService, lexical_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Index) -> Any:
        raise UnavailableError("Its folder is away.")

    with client_of(make_service({"lexical": lexical_index})) as client:
        assert scrape(client)["clickwise_index_up", "lexical"] == 1
        monkeypatch.setattr(Index, "view", away)
        seen = scrape(client)
    assert seen["clickwise_index_up", "lexical"] == 0
    assert seen["clickwise_store_write_duration_seconds_count", "failed"] == 0


def test_it_can_be_read_before_the_service_is_ready(service: Service) -> None:
    seen = scrape(TestClient(create_app(service.settings)))
    assert seen["clickwise_ready",] == 0
    assert not any(name[0].startswith("clickwise_index_documents") for name in seen)


def test_writes_that_fail_are_counted(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    with store.reading() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(UnavailableError), store.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE more (x)")
    assert (store.writes.done.count, store.writes.failed.count) == (0, 1)
    store.close()


def test_a_client_that_goes_away_is_counted_as_gone(client: TestClient) -> None:
    """A request without an answer: what the server does when a connection breaks in the middle of a body."""
    app: Any = client.app
    watch: Watch = app.state.house.watch

    async def breaks(*_: Any) -> None:
        raise ClientDisconnect

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    asyncio.run(Envelope(breaks, watch)(scope, breaks, breaks))  # type: ignore[arg-type]
    assert scrape(client)["http_requests_total", "POST", UNMATCHED, "gone"] == 1


def test_the_page_for_operators_names_metrics_that_exist(client: TestClient) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:http|clickwise|jvm|process)_[a-z_]+_[a-z_]*[a-z]\b", page)) | {"clickwise_ready"}
    # Those that are counted up from the first event on have no sample before it, but a name.
    told = set(re.findall(r"^# TYPE (\S+)", client.get("/metrics").text, re.MULTILINE))
    assert {"http_requests_total", "clickwise_cache_requests_total"} <= named & told
    assert {name.removesuffix("_bucket").removesuffix("_count") for name in named} <= told

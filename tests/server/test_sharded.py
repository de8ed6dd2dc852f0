"""The service on an index in shards: as on any other, and with less than all where a shard does not answer."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from index.build import BuildOptions, build_index
from index.index import Index
from index.sharded.shard import shard_of
from index.sharded.workers import ThreadWorkers, failed
from server.schemas import SearchRequest
from tests.conftest import small_corpus
from tests.fakes import HashingEncoder
from tests.server.conftest import MakeService, client_of

WORDS = "sailing boat with espresso in orbit"


def test_searches_feedback_and_writes(make_service: MakeService, new_index: Callable[..., Index]) -> None:
    whole, sharded = new_index(name="whole"), new_index(name="sharded", shards=3)
    with client_of(make_service({"whole": whole, "sharded": sharded})) as client:
        answers = []
        for index in ("whole", "sharded"):
            first = client.post("/v1/search", json={"query": WORDS, "index": index}).json()
            again = {"query_id": first["query_id"], "feedback": [{"document": "sailing-03", "relevance": 1}]}
            second = client.post("/v1/search", json=again).json()
            answers.append([[(hit["id"], hit["score"]) for hit in page["hits"]] for page in (first, second)])
            assert first["degraded"] is None
        assert answers[0] == answers[1]
        assert client.put("/v1/documents/new?index=sharded", json={"text": "zyzzyva"}).status_code == 201
        found = client.post("/v1/search", json={"query": "zyzzyva", "index": "sharded"}).json()
        assert [hit["id"] for hit in found["hits"]][:1] == ["new"]
        assert client.delete("/v1/documents/new?index=sharded").status_code == 204


def test_a_shard_that_does_not_answer_is_told(
    make_service: MakeService, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service({"sharded": new_index(name="sharded", shards=2)})
    ask = ThreadWorkers.ask

    def but_one(self: ThreadWorkers, number: int, method: str, *args: Any) -> Future[Any]:
        return failed("It is away.") if number == 1 else ask(self, number, method, *args)

    with client_of(service) as client:
        full = client.post("/v1/search", json={"query": WORDS, "limit": 50}).json()
        monkeypatch.setattr(ThreadWorkers, "ask", but_one)
        less = client.post("/v1/search", json={"query": WORDS, "limit": 50}).json()
        assert less["degraded"] == "shards missing"
        assert any("Shard 1 of 2 did not answer" in warning for warning in less["warnings"])
        assert 0 < len(less["hits"]) < len(full["hits"])
        assert {shard_of(hit["id"], 2) for hit in less["hits"]} == {0}
        monkeypatch.undo()
        assert client.post("/v1/search", json={"query": WORDS}).json()["degraded"] is None


def test_workers_end_with_the_last_search_of_a_generation_that_serves_no_more(
    make_service: MakeService, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So those in processes and on Ray do, whose finalizers end them."""
    made: list[weakref.ref[ThreadWorkers]] = []
    make = ThreadWorkers.__init__

    def noted(self: ThreadWorkers, *args: Any) -> None:
        make(self, *args)
        made.append(weakref.ref(self))

    monkeypatch.setattr(ThreadWorkers, "__init__", noted)
    index = new_index(name="docs", shards=2)
    options = BuildOptions(shards=2, overwrite=True, activated=False)
    build_index(index.path, small_corpus()[:9], options, encoder=HashingEncoder())
    service = make_service({"docs": index})
    first = [workers() for workers in made]
    service.activate("index", "docs", "000002", 0.999999)
    assert service.search(SearchRequest(query=WORDS)).generation == "000002"
    canaries = made[len(first) :]
    service.activate("index", "docs", "000002", 0.0)
    assert service.search(SearchRequest(query=WORDS)).generation == "000001"
    assert canaries
    assert [workers() for workers in canaries] == [None] * len(canaries)
    del first
    service.activate("index", "docs", "000002", 1.0)
    assert service.search(SearchRequest(query=WORDS)).generation == "000002"
    assert sum(workers() is not None for workers in made) == 1

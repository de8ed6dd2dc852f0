"""More than there is room for: turned away at once, the rest answered in time, and all is well afterwards."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from index.index import Index
from server.problems import BusyError
from server.workers import Workers
from tests.server.conftest import MakeService, client_of


def ask(client: TestClient, **more: Any) -> httpx.Response:
    return client.post("/v1/search", json={"query": "espresso", "highlight": False, **more})


def test_what_finds_room_is_answered_and_the_rest_told_to_come_again(
    make_service: MakeService, dense_index: Index
) -> None:
    service = make_service({"dense": dense_index}, threads=1, max_waiting=2)
    with client_of(service) as client, ThreadPoolExecutor(9) as crowd:
        app: Any = client.app
        workers, go = app.state.house.workers, threading.Event()
        workers.begin(go.wait, 30)
        waiting = [crowd.submit(ask, client) for _ in range(9)]
        while sum(one.done() for one in waiting) < 6:
            time.sleep(0.001)
        refused = [one.result() for one in waiting if one.done()]
        go.set()
        answers = [one.result() for one in waiting]
        assert [answer.status_code for answer in refused] == [429] * 6
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert {answer.json()["type"] for answer in refused} == {"urn:clickwise:problem:busy"}
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 6
        assert workers.inside == 0
        assert ask(client).status_code == 200


def test_who_would_wait_for_too_long_is_told_at_once() -> None:
    workers, gate = Workers(1, 10), threading.Event()
    assert workers.expected_wait == 0.0
    workers._seconds = 0.4  # what work has taken lately
    workers.admit(0.0)  # nobody waits: whatever is expected is too little to tell
    workers.inside = 3
    assert workers.expected_wait == pytest.approx(1.2)
    workers.admit(1.3)
    with pytest.raises(BusyError) as told:
        workers.admit(1.1)
    assert told.value.retry_after == pytest.approx(1.2)
    gate.set()
    workers.close()


def test_writers_do_not_keep_threads_from_those_who_search(make_service: MakeService, new_index: Any) -> None:
    service = make_service({"own": new_index()}, threads=1)
    with client_of(service) as client, ThreadPoolExecutor(3) as crowd:
        index = service.catalog.indexes["own"]
        with index._lock:  # somebody writes for long
            writing = [crowd.submit(client.put, f"/v1/documents/new-{n}", json={"text": "quagga"}) for n in range(3)]
            app: Any = client.app
            while app.state.house.writers.inside < 3:
                time.sleep(0.001)
            assert ask(client).status_code == 200
        assert [one.result().status_code for one in writing] == [201] * 3
        assert len(ask(client, query="quagga", pipeline="bm25").json()["hits"]) == 3


def test_while_searches_are_turned_away_so_are_documents_and_nobody_s_body_is_read(
    make_service: MakeService, new_index: Any
) -> None:
    service = make_service({"own": new_index()}, threads=1, max_deadline_ms=1000)
    with client_of(service) as client:
        app: Any = client.app
        workers, writers = app.state.house.workers, app.state.house.writers
        workers._seconds, workers.inside = 0.3, 1  # who comes now would wait for more than a quarter of a second
        written = client.put("/v1/documents/new", json={"text": "quagga"})
        unread = client.post("/v1/search", content=b"no JSON at all")
        assert [written.status_code, unread.status_code] == [429, 429]
        assert client.get("/v1/documents/coffee-00").status_code == 429
        assert client.get("/v1/indexes").status_code == 429
        workers._seconds = 0.2
        assert client.put("/v1/documents/new", json={"text": "quagga"}).status_code == 201
        assert client.post("/v1/search", content=b"no JSON at all").status_code == 400
        writers._seconds, writers.inside = 0.3, 1  # writers keep only one another waiting
        assert client.put("/v1/documents/new", json={"text": "quagga"}).status_code == 429
        assert ask(client).status_code == 200
        workers.inside = writers.inside = 0

"""Things that break while the service runs: answers say so, and it recovers without a restart."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from ranking.learning import engine as engines
from ranking.learning.engine import Engine
from ranking.learning.engines import use
from server.export import export_pages
from server.service import Service
from tests.ranking.learning.tiny import tiny_model


def search(client: TestClient, **more: Any) -> Any:
    return client.post("/v1/search", json={"query": "espresso", **more})


def test_the_directory_of_an_index_is_gone(own: Service, own_client: TestClient, tmp_path: Path) -> None:
    path = own.catalog.indexes["own"].path
    assert search(own_client).json()["degraded"] is None
    shutil.move(path, tmp_path / "away")
    answer = search(own_client)
    assert (answer.status_code, answer.json()["degraded"]) == (200, "index gone")
    assert answer.json()["hits"]
    assert own_client.put("/v1/documents/new", json={"text": "quagga"}).status_code == 503
    assert own_client.get("/readyz").status_code == 503
    shutil.rmtree(path, ignore_errors=True)  # what a writer may have begun in its place
    shutil.move(tmp_path / "away", path)
    assert search(own_client).json()["degraded"] is None
    assert own_client.put("/v1/documents/new", json={"text": "quagga"}).status_code == 201
    assert len(search(own_client, query="quagga", pipeline="bm25").json()["hits"]) == 1


def test_the_disk_of_the_store_is_full(own: Service, own_client: TestClient) -> None:
    known = search(own_client).json()
    engine = own.store.database.engine
    pages = {"most": 0}

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages['most'] or 2**30}")

    event.listen(engine, "checkout", limit)
    with own.store.reading() as connection:
        pages["most"] = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    answers = [search(own_client) for _ in range(40)]
    full = next(answer for answer in answers if answer.status_code != 200)
    assert (full.status_code, full.json()["type"]) == (503, "urn:clickwise:problem:unavailable")
    assert "full" in full.json()["detail"]
    assert "disk space" in full.json()["advice"]
    pages["most"] = 0
    assert search(own_client).status_code == 200
    again = own_client.post("/v1/search", json={"query_id": known["query_id"]})
    assert again.json()["round"] == 2
    for answer in answers:
        if answer.status_code == 200:
            assert own.store.query(answer.json()["query_id"])


def test_the_thread_of_a_model_dies(own_client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the cheaper ranking and says so; the next one has the model again."""
    use("clickwise-minilm", Engine(tiny_model(max_tokens=128)), 128)
    batches, broken = engines.batches, []

    def breaking(works: Any, cores: int) -> Any:
        if not broken:
            broken.append(True)
            raise MemoryError("the machine has no memory left")
        return batches(works, cores)

    monkeypatch.setattr(engines, "batches", breaking)
    first = search(own_client, pipeline="ce", deadline_ms=60_000)
    assert (first.status_code, first.json()["degraded"]) == (200, "model failed")
    assert [hit["id"] for hit in first.json()["hits"]] == [
        hit["id"] for hit in search(own_client, pipeline="fused").json()["hits"]
    ]
    again = search(own_client, pipeline="ce", deadline_ms=60_000)
    assert (again.status_code, again.json()["degraded"]) == (200, None)
    assert own_client.get("/readyz").status_code == 200


@pytest.mark.parametrize("jumps", [(0, 400, -400), (0, -400, 1)], ids=str)
def test_the_clock_jumps(
    own: Service, own_client: TestClient, monkeypatch: pytest.MonkeyPatch, jumps: tuple[int, ...]
) -> None:
    """In days: rounds, clicks and whose they are go by what came after what, not by what the clock said."""
    began = time.time_ns()
    shown = list[Any]()  # the newest page of each query
    for days in jumps:
        now = began + days * 86_400 * 10**9
        monkeypatch.setattr("server.store.rows.time.time_ns", lambda now=now: now)
        shown.append(search(own_client, session_id="visitor").json())
        for place, page in enumerate(shown):
            click = {"query_id": page["query_id"], "document": page["hits"][-1]["id"], "kind": "click"}
            assert own_client.post("/v1/feedback", json=click).status_code == 201
            shown[place] = own_client.post("/v1/search", json={"query_id": page["query_id"]}).json()
            assert len(shown[place]["feedback"]) == shown[place]["round"] - 1
    pages = list(export_pages(own.store))
    assert sum(len(page.events) for page in pages) == 6
    firsts = [page for page in pages if page.query_id.startswith(shown[0]["query_id"])]
    assert [len(page.events) for page in firsts] == [1, 1, 1, 0]  # each click on the page that was the newest then
    for path in ("/v1/operation/traffic", "/v1/operation/clicks", "/v1/experiments", "/v1/interleaving", "/readyz"):
        assert own_client.get(path).status_code == 200
    assert own_client.delete("/v1/people/visitor").json()["queries"] == 3  # whichever salt was in use

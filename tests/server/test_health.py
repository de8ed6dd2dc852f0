"""Readiness looks at what searches need: it fails with it, says with what, and comes back."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from index.errors import UnavailableError
from index.index import Index
from ranking.learning.engine import Engine
from ranking.learning.engines import use
from server import health
from server.service import Service
from server.store import sqlite
from tests.ranking.learning.tiny import tiny_model
from tests.server.conftest import MakeService, client_of
from tests.server.test_problems import problem


@pytest.fixture
def ready(make_service: MakeService, lexical_index: Index, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(health, "FRESH_SECONDS", -1.0)  # look every time
    return make_service({"lexical": lexical_index})


def test_what_was_looked_at(ready: Service) -> None:
    with client_of(ready) as client:
        assert client.get("/livez").json() == {"status": "ok"}
        answer = client.get("/readyz")
        assert answer.json() == {"status": "ready", "checks": {"store": "ok", "indexes": "ok", "models": "ok"}}
        for table in ("queries", "rankings", "impressions", "events"):
            with ready.store.reading() as connection:
                assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_a_part_that_fails_is_named_and_the_reason_logged(
    ready: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise UnavailableError("The store /secret/place is full.", "Free some disk space.")

    with client_of(ready) as client:
        with monkeypatch.context() as patch:
            patch.setattr(ready.store, "rehearse", fails)
            answer = client.get("/readyz")
            body = problem(answer, 503, "not-ready")
        assert "does not work: store" in body["detail"]
        assert "secret" not in answer.text
        assert "/secret/place is full" in caplog.text
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200  # without a restart


def test_a_full_disk_is_noticed_though_nothing_is_written(
    ready: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with client_of(ready) as client:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite.shutil, "disk_usage", lambda _: SimpleNamespace(free=sqlite.ROOM - 1))
            assert "does not work: store" in problem(client.get("/readyz"), 503, "not-ready")["detail"]
        assert "store.db is full. Free some disk space." in caplog.text
        assert client.get("/readyz").status_code == 200


def test_an_index_that_cannot_be_read(ready: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(Index, "view", breaks)
    with client_of(ready) as client:
        assert "indexes" in problem(client.get("/readyz"), 503, "not-ready")["detail"]


def test_a_model_whose_thread_has_died(ready: Service) -> None:
    engine = Engine(tiny_model())
    use("dying", engine)
    dead = threading.Thread(target=lambda: None)
    dead.start()
    dead.join()
    engine._owner = dead
    with client_of(ready) as client:
        try:
            assert "models" in problem(client.get("/readyz"), 503, "not-ready")["detail"]
        finally:
            engine._owner = None
        assert client.get("/readyz").status_code == 200


def test_a_part_that_hangs_holds_nobody_up_and_many_probes_are_one_look(
    ready: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.05)
    looks, go_on = [], threading.Event()
    rehearse = ready.store.rehearse

    def hangs() -> None:
        looks.append(1)
        assert go_on.wait(30)
        rehearse()

    monkeypatch.setattr(ready.store, "rehearse", hangs)
    with client_of(ready) as client:
        try:
            for _ in range(3):
                assert "did not answer itself" in problem(client.get("/readyz"), 503, "not-ready")["detail"]
            assert client.get("/metrics").status_code == 200
            assert len(looks) == 1
        finally:
            go_on.set()
        monkeypatch.setattr(health, "PATIENCE_SECONDS", 30)
        assert client.get("/readyz").status_code == 200


def test_a_full_log_does_not_fill_with_tracebacks(
    ready: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise UnavailableError("The store is away.", "Start it.")

    monkeypatch.setattr(ready.store, "rehearse", fails)
    with client_of(ready) as client, caplog.at_level(logging.ERROR, "clickwise.health"):
        client.get("/readyz")
    assert [record.exc_info for record in caplog.records if record.name == "clickwise.health"] == [None]

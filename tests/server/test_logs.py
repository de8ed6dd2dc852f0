"""Lines of the log: text or JSON, with the id of their request, and with nobody's words."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from index.index import Index
from server.keys import Keys
from server.logs import Json, Text, fields, request_id
from server.service import Service
from tests.server.conftest import MakeService, client_of


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the house logs from `info` on, as JSON."""
    out, house = io.StringIO(), logging.getLogger("clickwise")
    handler = logging.StreamHandler(out)
    handler.setFormatter(Json())
    house.addHandler(handler)
    level = house.level
    house.setLevel(logging.INFO)
    yield out
    house.removeHandler(handler)
    house.setLevel(level)


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_one_object_a_line(lines: io.StringIO) -> None:
    log = logging.getLogger("clickwise.test")
    before = request_id.set("r-1")
    try:
        log.warning("two\nlines of %s", "“text”", extra=fields(index="docs", key=None))
        raise ZeroDivisionError("broken")
    except ZeroDivisionError:
        log.exception("failed")
    finally:
        request_id.reset(before)
    first, second = read(lines)
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "warning",
        "logger": "clickwise.test",
        "message": "two\nlines of “text”",
        "request_id": "r-1",
        "index": "docs",
    }
    assert "ZeroDivisionError: broken" in second["exception"]


def test_a_line_for_every_request(client: TestClient, lines: io.StringIO) -> None:
    asked = client.post("/v1/search", json={"query": "espresso", "user_id": "somebody"}, headers={"X-Request-ID": "a"})
    client.get("/v1/documents/coffee-01", headers={"X-Request-ID": "b"})
    client.get("/nothing/of%0Athe kind", headers={"X-Request-ID": "c"})
    search, document, nothing = read(lines)
    assert {name: search[name] for name in ("method", "route", "status", "request_id", "query_id", "index")} == {
        "method": "POST",
        "route": "/v1/search",
        "status": 200,
        "request_id": "a",
        "query_id": asked.json()["query_id"],
        "index": "dense",
    }
    assert search["duration_ms"] > 0
    assert (document["route"], document["status"]) == ("/v1/documents/{document_id}", 200)
    assert (nothing["route"], nothing["status"]) == ("/nothing/of%0Athe%20kind", 404)
    for secret in ("espresso", "somebody", "coffee-01"):
        assert secret not in lines.getvalue()


def test_what_was_searched_for_where_that_is_asked(
    make_service: MakeService, lexical_index: Index, lines: io.StringIO
) -> None:
    with client_of(make_service({"lexical": lexical_index}, log_queries=True)) as client:
        client.post("/v1/search", json={"query": "espresso beans"})
    (line,) = read(lines)
    assert line["query"] == "espresso beans"
    assert "'espresso beans'" in line["message"]


def test_the_key_by_its_fingerprint(make_service: MakeService, lexical_index: Index, lines: io.StringIO) -> None:
    service = make_service({"lexical": lexical_index}, auth="on")
    key, text = Keys(service.store).create("shop", ["read"])
    with client_of(service) as client:
        client.get("/v1/indexes", headers={"X-API-Key": text})
        client.get("/v1/indexes", headers={"X-API-Key": "cw_wrong"})
    _, good, bad = read(lines)
    assert (good["key"], good["status"]) == (key.id, 200)
    assert ("key" in bad, bad["status"], bad["problem"]) == (False, 401, "unauthorized")
    assert "problem" not in good
    assert text not in lines.getvalue()
    assert "cw_" not in lines.getvalue()


def test_the_threads_know_the_request(
    make_service: MakeService, lexical_index: Index, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service({"lexical": lexical_index})
    indexes = service.indexes

    def telling() -> Any:
        logging.getLogger("clickwise.test").info("from a thread")
        return indexes()

    monkeypatch.setattr(service, "indexes", telling)
    with client_of(service) as client:
        client.get("/v1/indexes", headers={"X-Request-ID": "mine"})
    assert [line["request_id"] for line in read(lines)] == ["mine", "mine"]


def test_lines_of_text_leave_the_fields_out() -> None:
    record = logging.LogRecord("clickwise", logging.INFO, "", 0, "said", None, None)
    record.fields = {"index": "docs"}
    assert Text().format(record).endswith("INFO clickwise: said")
    before = request_id.set("r-1")
    try:
        assert Text().format(record).endswith("INFO clickwise: said (request r-1)")
        record.msg = "of r-1 said"
        assert Text().format(record).endswith("clickwise: of r-1 said")
    finally:
        request_id.reset(before)


def test_probes_are_quiet_until_they_fail(client: TestClient, lines: io.StringIO) -> None:
    for path in ("/livez", "/healthz", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200
    assert lines.getvalue() == ""
    client.post("/livez")
    (line,) = read(lines)
    assert line["status"] == 405


def test_the_making_and_the_end_of_a_key_are_told(own: Service, lines: io.StringIO) -> None:
    key, text = Keys(own.store).create("shop", ["read", "write"])
    Keys(own.store).revoke(key.id)
    assert [line["message"] for line in read(lines)] == [
        f"key {key.id} was made, for read,write",
        f"key {key.id} is revoked",
    ]
    assert text not in lines.getvalue()

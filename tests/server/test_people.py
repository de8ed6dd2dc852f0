"""Forgetting people over HTTP, and what the store and the log may know of them and of documents."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from server.service import Service
from tests.server.conftest import client_of

QUERY = "espresso grinder"


def test_a_person_is_forgotten_over_http(own_client: TestClient) -> None:
    mine = own_client.post("/v1/search", json={"query": QUERY, "session_id": "s1", "user_id": "me / you"}).json()
    other = own_client.post("/v1/search", json={"query": QUERY, "session_id": "s2"}).json()
    event = {"query_id": mine["query_id"], "document": mine["hits"][0]["id"], "kind": "click"}
    assert own_client.post("/v1/feedback", json=event).status_code == 201
    answer = own_client.delete("/v1/people/me%20%2F%20you")
    assert answer.status_code == 200
    assert answer.json() == {"queries": 1, "rankings": 1, "impressions": 1, "events": 1}
    assert own_client.delete("/v1/people/me / you").json()["queries"] == 0
    assert own_client.post("/v1/feedback", json=event).status_code == 404
    assert own_client.post("/v1/search", json={"query_id": mine["query_id"]}).status_code == 404
    assert own_client.post("/v1/search", json={"query_id": other["query_id"]}).status_code == 200


def test_neither_store_nor_log_holds_texts_of_documents_or_ids_of_people(
    own: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "clickwise")
    caplog.set_level(logging.INFO, "sqlalchemy")  # with every statement
    with client_of(own) as client:
        body = {"title": "Unmistakable", "text": "An unmistakable espresso grinder."}
        assert client.put("/v1/documents/new", json=body).status_code == 201
        ask = {"query": QUERY, "session_id": "person-1", "user_id": "person-2", "explain": True}
        found = client.post("/v1/search", json=ask).json()
        assert "new" in [hit["id"] for hit in found["hits"]]
        event = {"query_id": found["query_id"], "document": "new", "kind": "relevant"}
        assert client.post("/v1/feedback", json=event).status_code == 201
        assert client.post("/v1/search", json={"query_id": found["query_id"], "explain": True}).status_code == 200
        assert client.delete("/v1/people/person-3").status_code == 200
    stored = b"".join(path.read_bytes() for path in Path(own.store.database.where).parent.glob("store.db*"))
    assert found["query_id"].encode() in stored
    for word in ("unmistakable", "Unmistakable", "person-"):
        assert word.encode() not in stored
        assert word not in caplog.text
    assert "/v1/people/{person_id}" in caplog.text


def test_a_failing_statement_tells_the_log_no_values(own: Service, caplog: pytest.LogCaptureFixture) -> None:
    with own.store.writing() as connection:
        connection.exec_driver_sql("DROP TABLE rankings")
    with client_of(own) as client:
        assert client.post("/v1/search", json={"query": "a private question"}).status_code == 500
    assert "INSERT INTO" in caplog.text or "no such table" in caplog.text
    assert "private" not in caplog.text

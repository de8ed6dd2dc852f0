"""Bad input over HTTP: every error is a problem that names what is wrong and how to mend it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from index.index import Index
from tests.server.conftest import MakeService, client_of

QUERY = "espresso grinder"
JSON = {"Content-Type": "application/json"}


def problem(response: Any, status: int, kind: str, field: str | None = None) -> dict[str, Any]:
    """Check that a response is a whole problem of this kind, and give it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:clickwise:problem:{kind}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["advice"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body.get("field") == field
    assert "Traceback" not in response.text
    return body


def first(client: TestClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/v1/search", json={"query": QUERY}).json()
    return answer


def test_the_longest_query_and_one_more(client: TestClient) -> None:
    assert client.post("/v1/search", json={"query": "x " * 5_000}).status_code == 200
    body = problem(client.post("/v1/search", json={"query": "word " * 20_000}), 422, "invalid-input", "query")  # 100 kB
    assert "99,999 characters, and at most 10,000" in body["detail"]


@pytest.mark.parametrize("query", ["", "   ", "\0", "\n\t"])
def test_an_empty_query(client: TestClient, query: str) -> None:
    assert "empty" in problem(client.post("/v1/search", json={"query": query}), 422, "invalid-input", "query")["detail"]


def test_neither_query_nor_query_id(client: TestClient) -> None:
    problem(client.post("/v1/search", json={}), 422, "invalid-input", "query")


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ('{"query": "a", "limit": 0}', "limit", "greater than or equal to 1"),
        ('{"query": "a", "limit": 101}', "limit", "less than or equal to 100"),
        ('{"query": "a", "limit": "5"}', "limit", "valid integer"),
        ('{"query": "a", "limit": NaN}', "limit", "valid integer"),
        ('{"query": "a", "offset": -1}', "offset", "greater than or equal to 0"),
        ('{"query": "a", "offset": 1e400}', "offset", "valid integer"),
        ('{"query": "a", "nope": 1}', "nope", "no such field"),
        ('{"query": 5}', "query", "valid string"),
        ('{"query": "\\ud800"}', "query", "half a surrogate pair"),
        ('{"query": "a", "session_id": "\\udfff"}', "session_id", "half a surrogate pair"),
        ('{"query": "a", "\\ud800": 1}', None, "half a surrogate pair"),
        ('{"query": "a", "explain": "yes"}', "explain", "valid boolean"),
        ('{"query": "a", "feedback": [{"document": "x", "relevance": NaN}]}', "feedback[0].relevance", ""),
        ('{"query": "a", "feedback": [{"document": "x", "relevance": 1.5}]}', "feedback[0].relevance", "less than"),
        (
            '{"query": "a", "feedback": [{"document": "x", "relevance": 1, "weight": Infinity}]}',
            "feedback[0].weight",
            "",
        ),
        ('{"query": "a", "feedback": [{"relevance": 1}]}', "feedback[0].document", "required"),
        ('["query"]', None, "body cannot be used"),
        ("5", None, "body cannot be used"),
    ],
)
def test_a_field_that_cannot_be_used(client: TestClient, body: str, field: str | None, said: str) -> None:
    answer = problem(client.post("/v1/search", content=body, headers=JSON), 422, "invalid-input", field)
    assert said in answer["detail"]
    assert answer["errors"][0].get("field") == field


def test_every_faulty_field_is_listed(client: TestClient) -> None:
    body = problem(
        client.post("/v1/search", json={"query": "a", "limit": 0, "offset": -1}), 422, "invalid-input", "limit"
    )
    assert [error["field"] for error in body["errors"]] == ["limit", "offset"]


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"query": }', b"\xff\xfe\xfa", b'{"query": "\xff"}', b"[" * 100_000, b'{"limit": ' + b"9" * 5000 + b"}"],
    ids=["torn", "no value", "no UTF", "bad UTF-8", "too deep", "too long a number"],
)
def test_malformed_json(client: TestClient, body: bytes) -> None:
    problem(client.post("/v1/search", content=body, headers=JSON), 400, "malformed")


def test_the_place_of_a_fault_in_json(client: TestClient) -> None:
    body = problem(client.post("/v1/search", content=b'{"query": }', headers=JSON), 400, "malformed")
    assert "at character 10" in body["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_content_type(client: TestClient, kind: str) -> None:
    answer = client.post("/v1/search", content=b'{"query": "a"}', headers={"Content-Type": kind})
    assert "Content-Type: application/json" in problem(answer, 422, "invalid-input")["advice"]


def test_no_content_type_is_taken_for_json(client: TestClient) -> None:
    assert client.post("/v1/search", content=b'{"query": "espresso"}').status_code == 200


def test_no_body(client: TestClient) -> None:
    problem(client.post("/v1/search"), 422, "invalid-input")


def test_a_body_over_the_limit(client: TestClient) -> None:
    big = client.post("/v1/search", json={"query": "x" * 1_000_001})
    assert "1,000,000 bytes" in problem(big, 413, "too-large")["detail"]


def test_a_body_over_the_limit_that_does_not_say_so(client: TestClient) -> None:
    chunks = (b"x" * 100_000 for _ in range(20))
    problem(client.post("/v1/search", content=chunks, headers=JSON), 413, "too-large")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("GET", "/v1/nothing"), ("GET", "/web/no.js"), ("GET", "/v1/search/")]
)
def test_an_unknown_route(client: TestClient, method: str, path: str) -> None:
    assert path in problem(client.request(method, path), 404, "not-found")["detail"]


def test_no_way_out_of_the_web_folder(client: TestClient) -> None:
    problem(client.get("/web/%2e%2e/app.py"), 404, "not-found")


def test_a_wrong_method(client: TestClient) -> None:
    answer = client.get("/v1/search")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(("name", "valid"), [("index", "dense, lexical"), ("pipeline", "bm25-qe")])
def test_an_unknown_index_or_pipeline(client: TestClient, name: str, valid: str) -> None:
    body = problem(client.post("/v1/search", json={"query": QUERY, name: "nope"}), 404, "not-found", name)
    assert "'nope'" in body["detail"]
    assert valid in body["advice"]


def test_a_pipeline_that_needs_vectors(client: TestClient) -> None:
    ask = {"query": QUERY, "index": "lexical", "pipeline": "fused"}
    body = problem(client.post("/v1/search", json=ask), 422, "invalid-input", "pipeline")
    assert "bm25-qe" in body["advice"]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ('colour == "red"', "topic"),
        ("part == 'many'", "part"),
        ("topic ==", "filter"),
        ("part == 1e999", ""),
        ("__import__('os')", ""),
        ("part == 1 and " * 400 + "part == 1", ""),
    ],
)
def test_a_filter_that_cannot_be_used(client: TestClient, condition: str, said: str) -> None:
    body = problem(
        client.post("/v1/search", json={"query": QUERY, "filter": condition}), 422, "invalid-input", "filter"
    )
    assert said in body["detail"] + body["advice"]


def test_a_filter_on_an_unknown_field_names_the_known_ones(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"query": QUERY, "filter": "colour == 1"})
    assert "even, part, topic" in problem(answer, 422, "invalid-input", "filter")["advice"]


def test_what_was_asked_cannot_change(client: TestClient) -> None:
    query_id = first(client)["query_id"]
    for field, value in (("query", QUERY), ("index", "lexical"), ("filter", "part == 1")):
        answer = client.post("/v1/search", json={"query_id": query_id, field: value})
        assert "query_id" in problem(answer, 422, "invalid-input", field)["advice"]
    assert client.post("/v1/search", json={"query_id": query_id, "index": "dense"}).status_code == 200


@pytest.mark.parametrize("more", [{"pipeline": "bm25"}, {"feedback": [{"document": "coffee-01", "relevance": 1.0}]}])
def test_a_further_page_takes_nothing_new(client: TestClient, more: dict[str, Any]) -> None:
    ask = {"query_id": first(client)["query_id"], "offset": 3, **more}
    assert "offset 0" in problem(client.post("/v1/search", json=ask), 422, "invalid-input", "offset")["advice"]


def test_an_unknown_query(client: TestClient) -> None:
    problem(client.post("/v1/search", json={"query_id": "nope"}), 404, "not-found", "query_id")
    event = {"query_id": "nope", "document": "coffee-01", "kind": "click"}
    problem(client.post("/v1/feedback", json=event), 404, "not-found", "query_id")


def test_unknown_documents_in_feedback(client: TestClient) -> None:
    event = {"query_id": first(client)["query_id"], "document": "nope", "kind": "click"}
    assert "'nope'" in problem(client.post("/v1/feedback", json=event), 404, "not-found", "document")["detail"]
    given = [{"document": "coffee-01", "relevance": 1.0}, {"document": "nope", "relevance": 1.0}]
    answer = client.post("/v1/search", json={"query": QUERY, "feedback": given})
    problem(answer, 404, "not-found", "feedback[1].document")


def test_two_things_said_about_one_document_in_one_request(client: TestClient) -> None:
    """Not the last one counts, as of judgements that came one after the other."""
    given = [{"document": "coffee-01", "relevance": 1.0}, {"document": "coffee-01", "relevance": 0.0}]
    answer = problem(
        client.post("/v1/search", json={"query": QUERY, "feedback": given}), 422, "invalid-input", "feedback"
    )
    assert "'coffee-01'" in answer["detail"]
    again = client.post("/v1/search", json={"query": QUERY, "feedback": given[:1] * 2}).json()
    assert [line["document"] for line in again["feedback"]] == ["coffee-01"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "loved"),
        ("position", 0),
        ("dwell_ms", -1),
        ("dwell_ms", 2**80),
        ("idempotency_key", ""),
        ("document", ""),
        ("document", "x" * 513),
        ("when", "now"),
    ],
)
def test_an_event_that_cannot_be_used(client: TestClient, field: str, value: object) -> None:
    event = {"query_id": first(client)["query_id"], "document": "coffee-01", "kind": "click", field: value}
    problem(client.post("/v1/feedback", json=event), 422, "invalid-input", field)


def test_an_event_sent_twice_is_one(client: TestClient) -> None:
    answer = first(client)
    event = {"query_id": answer["query_id"], "document": "coffee-01", "kind": "click", "position": 1}
    keyed = {**event, "idempotency_key": f"key-{answer['query_id']}"}
    once, again = (client.post("/v1/feedback", json=keyed) for _ in range(2))
    assert (once.status_code, again.status_code) == (201, 201)
    assert once.json() == {"event_id": once.json()["event_id"], "query_id": answer["query_id"], "duplicate": False}
    assert again.json() == {**once.json(), "duplicate": True}
    other = client.post("/v1/feedback", json={**keyed, "kind": "relevant"})
    problem(other, 409, "conflict", "idempotency_key")
    unkeyed = [client.post("/v1/feedback", json=event).json()["event_id"] for _ in range(2)]
    assert unkeyed[0] != unkeyed[1]


def test_a_document_that_is_gone_can_still_be_clicked(own_client: TestClient) -> None:
    answer = own_client.post("/v1/search", json={"query": QUERY}).json()
    document = answer["hits"][0]["id"]
    assert own_client.delete(f"/v1/documents/{document}").status_code == 204
    event = {"query_id": answer["query_id"], "document": document, "kind": "click"}
    assert own_client.post("/v1/feedback", json=event).status_code == 201


def test_several_indexes_and_no_default(make_service: MakeService, dense_index: Index, lexical_index: Index) -> None:
    with client_of(make_service({"a": dense_index, "b": lexical_index})) as client:
        body = problem(client.post("/v1/search", json={"query": QUERY}), 422, "invalid-input", "index")
        assert "a, b" in body["advice"]


def test_a_store_that_cannot_be_written(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index})
    with client_of(service) as client:
        query_id = first(client)["query_id"]
        with service.store.database.engine.connect() as connection:  # its one pooled connection: the next user gets it
            connection.exec_driver_sql("PRAGMA query_only = ON")
        event = {"query_id": query_id, "document": "coffee-01", "kind": "click"}
        for answer in (client.post("/v1/feedback", json=event), client.post("/v1/search", json={"query": QUERY})):
            assert "cannot be written" in problem(answer, 503, "unavailable")["detail"]
            assert answer.headers["retry-after"] == "1"
        assert service.store.marks(query_id) == {}

"""Documents over HTTP: one by one and in bulk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from index.index import Index
from server.documents import BulkLines
from server.problems import BulkError
from server.service import Service
from tests.server.conftest import MakeService, client_of
from tests.server.test_problems import problem

ZEBRA = {"title": "Zebra", "text": "A zebra crossing.", "fields": {"topic": "animals", "part": 3, "even": False}}


def found(client: TestClient, query: str) -> list[str]:
    answer = client.post("/v1/search", json={"query": query, "pipeline": "bm25"})
    return [hit["id"] for hit in answer.json()["hits"]]


def lines(*rows: Any) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def test_write_read_replace_delete(own_client: TestClient, own: Service) -> None:
    where = "/v1/documents/zebra"
    problem(own_client.get(where), 404, "not-found")
    created = own_client.put(where, json=ZEBRA)
    assert (created.status_code, created.json()) == (201, {"id": "zebra", "index": "own", "created": True})
    assert own_client.get(where).json() == {"id": "zebra", "index": "own", **ZEBRA}
    assert found(own_client, "zebra") == ["zebra"]
    replaced = own_client.put(where, json={"text": "Now about okapis."})
    assert (replaced.status_code, replaced.json()["created"]) == (200, False)
    assert (found(own_client, "zebra"), found(own_client, "okapi")) == ([], ["zebra"])
    assert own_client.get(where).json() == {
        "id": "zebra", "index": "own", "title": "", "text": "Now about okapis.", "fields": {}
    }  # fmt: skip
    gone = own_client.delete(where)
    assert (gone.status_code, gone.content) == (204, b"")
    problem(own_client.delete(where), 404, "not-found")
    assert found(own_client, "okapi") == []


def test_what_was_acknowledged_is_there_for_the_next_process(own_client: TestClient, own: Service) -> None:
    own_client.put("/v1/documents/zebra", json=ZEBRA)
    index = own.catalog.indexes["own"]
    again = Index.open(index.path, encoder=index.encoder())
    assert "zebra" in again.view().lexical


def test_odd_ids(own_client: TestClient) -> None:
    for doc_id in ("a/b/c", "a?b#c", "a b", "ü☃", "100%", "x:bulk", "https://example.org/a?b=c"):
        where = f"/v1/documents/{quote(doc_id, safe='')}"
        assert own_client.put(where, json=ZEBRA).json()["id"] == doc_id
        assert own_client.get(where).json()["id"] == doc_id
        assert found(own_client, "zebra") == [doc_id]
        assert own_client.delete(where).status_code == 204


def test_an_id_that_cannot_be_used(own_client: TestClient) -> None:
    problem(own_client.put(f"/v1/documents/{'x' * 513}", json=ZEBRA), 422, "invalid-input")
    problem(own_client.put("/v1/documents/a%00b", json=ZEBRA), 422, "invalid-input")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"fields": {"part": NaN}}', "fields.part"),
        ('{"fields": {"part": 1e999}}', "fields.part"),
        ('{"fields": {"part": null}}', "fields.part"),
        ('{"fields": {"part": {"a": 1}}}', "fields.part"),
        ('{"fields": {"part": [1, 2]}}', "fields.part"),
        ('{"fields": 5}', "fields"),
        ('{"title": 5}', "title"),
        ('{"text": "\\ud83d"}', "text"),
        ('{"body": "x"}', "body"),
        ('{"id": "zebra"}', "id"),
    ],
)
def test_a_document_that_cannot_be_used(client: TestClient, body: str, field: str) -> None:
    answer = client.put("/v1/documents/x", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 422, "invalid-input", field)


def test_a_field_of_another_type_than_the_indexs(own_client: TestClient) -> None:
    answer = own_client.put("/v1/documents/x", json={"text": "x", "fields": {"part": "three"}})
    assert "'part'" in problem(answer, 422, "invalid-input")["detail"]
    problem(own_client.get("/v1/documents/x"), 404, "not-found")


def test_a_document_of_ten_megabytes(client: TestClient) -> None:
    answer = client.put("/v1/documents/x", json={"text": "x" * 10_000_000})
    assert "max_document_bytes" in problem(answer, 413, "too-large")["detail"]


def test_a_large_document_within_the_limit(own_client: TestClient) -> None:
    text = "needle " + "hay " * 50_000 + "pin"
    assert own_client.put("/v1/documents/big", json={"text": text}).status_code == 201
    assert own_client.get("/v1/documents/big").json()["text"] == text
    assert found(own_client, "needle pin") == ["big"]


def test_an_unknown_index(client: TestClient) -> None:
    answer = client.get("/v1/documents/x?index=nope")
    assert "dense, lexical" in problem(answer, 404, "not-found", "index")["advice"]


def test_bulk(own_client: TestClient) -> None:
    body = lines({"id": "a", **ZEBRA}, b"", {"id": "b", "text": "zebra stripes"}, {"id": "coffee-00", "text": "tea"})
    answer = own_client.post("/v1/documents:bulk", content=body)
    assert (answer.status_code, answer.json()) == (200, {"index": "own", "upserted": 3})
    assert sorted(found(own_client, "zebra")) == ["a", "b"]
    assert own_client.get("/v1/documents/coffee-00").json()["text"] == "tea"


def test_bulk_without_a_last_line_end_and_with_carriage_returns(own_client: TestClient) -> None:
    answer = own_client.post("/v1/documents:bulk", content=b'{"id": "a"}\r\n{"id": "b"}')
    assert answer.json()["upserted"] == 2


def test_bulk_of_nothing(own_client: TestClient) -> None:
    assert own_client.post("/v1/documents:bulk", content=b"\n\n").json()["upserted"] == 0


def test_of_several_with_one_id_the_last_stays(own_client: TestClient) -> None:
    body = lines({"id": "a", "text": "zebra"}, {"id": "a", "text": "okapi"})
    assert own_client.post("/v1/documents:bulk", content=body).json()["upserted"] == 1
    assert (found(own_client, "zebra"), found(own_client, "okapi")) == ([], ["a"])


def test_bulk_with_faulty_lines_writes_nothing(own_client: TestClient) -> None:
    body = lines(
        {"id": "a", "text": "zebra"},
        b"{torn",
        {"text": "no id"},
        {"id": "b", "fields": {"part": float("nan")}},
        {"id": "c", "extra": 1},
        {"id": "d\u0007"},
        b'{"id": "e", "text": "\\ud800"}',
        b'{"id": "\xff"}',
        b"[" * 100_000,
        b"[1]",
    )
    answer = problem(own_client.post("/v1/documents:bulk", content=body), 422, "bad-record")
    assert "line 2" in answer["detail"]
    assert "9 lines" in answer["detail"]
    assert [(error["line"], error.get("field")) for error in answer["errors"]] == [
        (2, None), (3, "id"), (4, "fields.part"), (5, "extra"), (6, "id"), (7, "text"), (8, None), (9, None), (10, None)
    ]  # fmt: skip
    assert found(own_client, "zebra") == []


def test_a_field_of_another_type_in_bulk_writes_nothing(own_client: TestClient) -> None:
    body = lines({"id": "a", "text": "zebra"}, {"id": "b", "fields": {"part": "three"}})
    assert "'b'" in problem(own_client.post("/v1/documents:bulk", content=body), 422, "invalid-input")["detail"]
    assert found(own_client, "zebra") == []


def test_the_limits_of_bulk(make_service: MakeService, new_index: Callable[..., Index]) -> None:
    service = make_service({"own": new_index()}, max_document_bytes=1_000, max_bulk_bytes=10_000)
    with client_of(service) as client:
        long_line = lines({"id": "a"}, {"id": "b", "text": "x" * 1_000}, {"id": "c"})
        answer = problem(client.post("/v1/documents:bulk", content=long_line), 422, "bad-record")
        assert answer["errors"] == [{"line": 2, "detail": "the document has more than 1,000 bytes"}]
        problem(client.post("/v1/documents:bulk", content=b"\n" * 10_001), 413, "too-large")


def test_a_bulk_body_larger_than_one_batch(own_client: TestClient) -> None:
    body = lines(*({"id": f"n{i}", "text": "z" * 1_200} for i in range(2_000)))
    assert len(body) > 2_000_000

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    assert own_client.post("/v1/documents:bulk", content=chunks()).json()["upserted"] == 2_000
    assert own_client.get("/v1/documents/n1999").status_code == 200


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.text(max_size=8).map(lambda t: {"id": "i", "text": t}), st.just({"no": 1})), max_size=6),
    st.integers(1, 30),
)
def test_lines_are_the_same_however_they_arrive(rows: list[dict[str, Any]], size: int) -> None:
    body = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode("utf-8", "replace")
    whole, pieces = BulkLines(1_000), BulkLines(1_000)
    whole.feed(body)
    for start in range(0, len(body), size):
        pieces.feed(body[start : start + size])

    def outcome(reader: BulkLines) -> object:
        try:
            return reader.documents()
        except BulkError as error:
            return list(error.errors)

    assert outcome(pieces) == outcome(whole)


def test_an_endless_line_is_not_kept(client: TestClient) -> None:
    reader = BulkLines(1_000)
    for _ in range(1_000):
        reader.feed(b"x" * 1_000)
        assert len(reader._rest) <= 2_000
    reader.feed(b"\n" + json.dumps({"id": "a"}).encode())
    with pytest.raises(BulkError, match=r"line 1.*more than 1,000 bytes"):
        reader.documents()

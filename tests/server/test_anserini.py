"""The read-only REST surface of Pyserini and Anserini."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from index.index import Index
from index.types import Query
from ranking.bm25 import Bm25
from ranking.context import Context
from ranking.contract import Request
from tests.server.test_problems import problem


def test_search_is_bm25(client: TestClient, lexical_index: Index) -> None:
    answer = client.get("/v1/lexical/search", params={"query": "espresso beans", "hits": 5}).json()
    [expected] = Bm25(depth=5).rank([Request(Query("", "espresso beans"))], Context.of(lexical_index))
    assert (answer["api"], answer["index"], answer["query"]) == ("v1", "lexical", {"text": "espresso beans"})
    assert [hit["docid"] for hit in answer["candidates"]] == list(expected.ids)
    assert [hit["score"] for hit in answer["candidates"]] == pytest.approx(expected.scores, abs=1e-6)
    assert [hit["rank"] for hit in answer["candidates"]] == [1, 2, 3, 4, 5]
    assert answer["candidates"][0]["doc"]["contents"].startswith("A note on coffee")


def test_parameters_of_bm25(client: TestClient, lexical_index: Index) -> None:
    asked = {"query": "espresso", "k1": 2.0, "b": 0.0, "parse": False}
    answer = client.get("/v1/lexical/search", params=asked).json()
    [expected] = Bm25(depth=10, k1=2.0, b=0.0).rank([Request(Query("", "espresso"))], Context.of(lexical_index))
    assert [hit["score"] for hit in answer["candidates"]] == pytest.approx(expected.scores, abs=1e-6)
    assert answer["candidates"][0]["doc"] is None


def test_documents(client: TestClient) -> None:
    answer = client.get("/v1/lexical/doc/coffee-03").json()
    assert (answer["docid"], answer["doc"]["topic"]) == ("coffee-03", "coffee")


def test_what_is_named_takes_precedence(client: TestClient) -> None:
    assert client.get("/v1/documents/coffee-03?index=lexical").json()["id"] == "coffee-03"


def test_what_is_not_there(client: TestClient) -> None:
    problem(client.get("/v1/nothing/search?query=x"), 404, "not-found", "index")
    problem(client.get("/v1/lexical/doc/nothing"), 404, "not-found")
    problem(client.get("/v1/lexical/search"), 422, "invalid-input", "query")
    problem(client.get("/v1/lexical/search?query=x&hits=0"), 422, "invalid-input", "hits")

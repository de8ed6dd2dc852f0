"""Many at once: everybody reads their own writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.testclient import TestClient

WORDS = ["espresso", "boat", "generator", "statin", "galaxy", "harbour", "placebo", "telescope"]


def test_eight_threads_search_and_give_feedback(client: TestClient) -> None:
    def session(worker: int) -> None:
        asked = client.post("/v1/search", json={"query": f"{WORDS[worker]} note part", "limit": 30}).json()
        query_id, documents = asked["query_id"], [hit["id"] for hit in asked["hits"]]
        expected: dict[str, str] = {}
        for number in range(1, 6):
            document = documents[(number * 3 + worker) % len(documents)]
            kind = ("relevant", "not_relevant", "relevant")[number % 3]
            event = {"query_id": query_id, "document": document, "kind": kind, "idempotency_key": f"{query_id}{number}"}
            assert client.post("/v1/feedback", json=event).json()["duplicate"] is False
            expected[document] = kind
            answer = client.post("/v1/search", json={"query_id": query_id, "limit": 30}).json()
            assert answer["round"] == number + 1
            assert {line["document"]: line["kind"] for line in answer["feedback"]} == expected
            assert all(hit["feedback"] == expected.get(hit["id"]) for hit in answer["hits"])
            page = client.post("/v1/search", json={"query_id": query_id, "limit": 5, "offset": 2}).json()
            assert [hit["id"] for hit in page["hits"]] == [hit["id"] for hit in answer["hits"]][2:7]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(session, range(8)))


def test_documents_are_written_while_others_search(own_client: TestClient) -> None:
    def write(number: int) -> None:
        where = f"/v1/documents/new-{number}"
        assert own_client.put(where, json={"text": f"quagga number{number}"}).status_code == 201
        answer = own_client.post("/v1/search", json={"query": f"number{number}", "pipeline": "bm25"}).json()
        assert [hit["id"] for hit in answer["hits"]] == [f"new-{number}"]

    def read(_: int) -> None:
        answer = own_client.post("/v1/search", json={"query": "espresso quagga", "limit": 50}).json()
        assert {hit["id"] for hit in answer["hits"]} >= {"coffee-00"}

    with ThreadPoolExecutor(4) as pool:
        writing = pool.map(write, range(8))
        reading = pool.map(read, range(16))
        list(writing)
        list(reading)
    answer = own_client.post("/v1/search", json={"query": "quagga", "pipeline": "bm25", "limit": 50}).json()
    assert {hit["id"] for hit in answer["hits"]} == {f"new-{number}" for number in range(8)}

"""Services that share one PostgreSQL, and a PostgreSQL that goes and comes back."""

from __future__ import annotations

from index.index import Index
from tests.postgres import Server
from tests.server.conftest import MakeService, client_of
from tests.server.test_problems import problem

QUERY = "espresso grinder"


def test_two_services_on_one_postgresql(make_service: MakeService, dense_index: Index, postgres_address: str) -> None:
    first, second = (make_service({"dense": dense_index}, store_url=postgres_address) for _ in range(2))
    with client_of(first) as here, client_of(second) as there:
        found = here.post("/v1/search", json={"query": QUERY, "session_id": "s"}).json()
        event = {"query_id": found["query_id"], "document": found["hits"][3]["id"], "kind": "relevant"}
        assert there.post("/v1/feedback", json=event).status_code == 201
        again = here.post("/v1/search", json={"query_id": found["query_id"]}).json()
        assert [line["document"] for line in again["feedback"]] == [event["document"]]
        assert again["round"] == 2
        assert there.delete("/v1/people/s").json()["queries"] == 1
        assert here.post("/v1/search", json={"query_id": found["query_id"]}).status_code == 404


def test_a_service_outlives_a_restart_of_its_postgresql(
    make_service: MakeService, lexical_index: Index, postgres_address: str, postgres: Server
) -> None:
    service = make_service({"lexical": lexical_index}, store_url=postgres_address)
    with client_of(service) as client:
        found = client.post("/v1/search", json={"query": QUERY}).json()
        event = {"query_id": found["query_id"], "document": found["hits"][0]["id"], "kind": "click"}
        again = {"query_id": found["query_id"]}
        assert client.post("/v1/feedback", json={**event, "idempotency_key": "before"}).status_code == 201
        postgres.stop("fast")
        try:
            for path, body in (("search", {"query": QUERY}), ("search", again), ("feedback", event)):
                answer = client.post(f"/v1/{path}", json=body)
                assert "cannot be reached" in problem(answer, 503, "unavailable")["detail"]
                assert answer.headers["retry-after"] == "1"
        finally:
            postgres.start()
        before = client.post("/v1/feedback", json={**event, "idempotency_key": "before"})
        assert (before.status_code, before.json()["duplicate"]) == (201, True)
        assert client.post("/v1/search", json=again).json()["feedback"][0]["document"] == event["document"]


def test_what_postgresql_cannot_hold_is_the_callers_to_mend(
    make_service: MakeService, lexical_index: Index, postgres_address: str
) -> None:
    service = make_service({"lexical": lexical_index}, store_url=postgres_address, pseudonym_days=0)
    with client_of(service) as client:
        found = client.post("/v1/search", json={"query": QUERY}).json()
        told = {"query_id": "a\0b", "document": "x", "kind": "click"}
        for field, answer in (
            (None, client.post("/v1/search", json={"query": QUERY, "session_id": "a\0b"})),
            ("query_id", client.post("/v1/search", json={"query_id": "a\0b"})),
            ("query_id", client.post("/v1/feedback", json=told)),
            (None, client.post("/admin/keys", json={"name": "a\0b", "scopes": ["read"]})),
            (None, client.delete("/admin/keys/a%00b")),
            (None, client.delete("/v1/people/a%00b")),
        ):
            assert "NUL" in problem(answer, 422, "invalid-input", field)["detail"]
        event = {"query_id": found["query_id"], "document": found["hits"][0]["id"], "kind": "click"}
        assert client.post("/v1/feedback", json=event).status_code == 201  # the connections are whole

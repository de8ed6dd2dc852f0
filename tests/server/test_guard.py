"""How often one may ask, whom limits count, and the open door that keeps a service from starting."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from index.errors import ConflictError
from index.index import Index
from server.app import create_app
from server.guard import _address
from server.keys import Keys
from server.service import Service
from tests.server.conftest import MakeService, client_of
from tests.server.test_problems import problem


def test_a_caller_that_asks_too_often_is_told_when_to_come_again(
    make_service: MakeService, lexical_index: Index
) -> None:
    with client_of(make_service({"lexical": lexical_index}, rate_limit=0.01, rate_burst=2)) as client:
        assert [client.get("/v1/indexes").status_code for _ in range(2)] == [200, 200]
        answer = client.post("/v1/search", content=b"not even JSON")
        body = problem(answer, 429, "too-often")
        assert "rate_limit" in body["detail"]
        assert 90 <= int(answer.headers["retry-after"]) <= 100
        assert client.get("/healthz").status_code == 200  # probes are not counted
        assert client.get("/").status_code == 200


def test_limits_count_by_key_and_without_a_valid_one_by_address(
    make_service: MakeService, lexical_index: Index
) -> None:
    service = make_service({"lexical": lexical_index}, auth="on", rate_limit=0.01, rate_burst=1)
    first, second = (Keys(service.store).create(name, ["read"])[1] for name in ("first", "second"))
    with client_of(service) as client:

        def ask(key: str) -> int:
            return client.get("/v1/indexes", headers={"X-API-Key": key}).status_code

        assert [ask(first), ask(second), ask(first), ask(second)] == [200, 200, 429, 429]
        assert [ask("wrong"), ask("wrong too")] == [401, 429]


def test_every_replica_counts_for_itself(make_service: MakeService, lexical_index: Index) -> None:
    services = [make_service({"lexical": lexical_index}, auth="on", rate_limit=0.01, rate_burst=1) for _ in range(2)]
    key = Keys(services[0].store).create("shared", ["read"])[1]
    with client_of(services[0]) as one, client_of(services[1]) as other:
        answers = [client.get("/v1/indexes", headers={"X-API-Key": key}) for client in (one, other, one, other)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::1", 1), "2001:db8:1:2::/64"),
        (("::1", 1), "::/64"),
        (("testclient", 1), "testclient"),
        (None, "local"),
    ],
)
def test_addresses(client: Any, address: str) -> None:
    assert _address(Request({"type": "http", "client": client, "headers": []})) == address


def start(service: Service) -> BaseException | None:
    """Start the application as `clickwise serve` does, without listening, and give what kept it from starting."""
    outcome: list[BaseException | None] = []
    told = threading.Event()

    def on_warm(failure: BaseException | None) -> None:
        outcome.append(failure)
        told.set()

    with TestClient(create_app(service.settings, open_service=lambda _: service, on_warm=on_warm)):
        assert told.wait(60)
    return outcome[0]


def test_no_service_for_the_network_without_a_key(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index}, host="0.0.0.0")
    failure = start(service)
    assert isinstance(failure, ConflictError)
    for said in ("0.0.0.0", "clickwise keys create", "127.0.0.1", "auth"):
        assert said in str(failure)


def test_a_valid_key_or_an_open_door_on_purpose_lets_it_start(make_service: MakeService, lexical_index: Index) -> None:
    revoked = make_service({"lexical": lexical_index}, host="0.0.0.0")
    keys = Keys(revoked.store)
    keys.revoke(keys.create("old", ["admin"])[0].id)
    assert isinstance(start(revoked), ConflictError)
    assert start(make_service({"lexical": lexical_index}, host="0.0.0.0", auth="off")) is None
    keyed = make_service({"lexical": lexical_index}, host="0.0.0.0")
    Keys(keyed.store).create("new", ["read"])
    assert start(keyed) is None

"""Who may do what: every route of the application with every scope, without a key, and with one that is not valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from index.index import Index
from server import access
from server.access import NEEDS, OPEN, Guarded
from server.app import create_app
from server.keys import SCOPES, Keys, Scope
from server.service import Service
from server.settings import Settings
from tests.server.conftest import MakeService, client_of
from tests.server.test_problems import problem


@pytest.fixture
def guarded(make_service: MakeService, lexical_index: Index) -> Service:
    return make_service({"lexical": lexical_index}, auth="on")


@pytest.fixture
def keys(guarded: Service) -> dict[Scope, str]:
    return {scope: Keys(guarded.store).create(scope, [scope])[1] for scope in SCOPES}


@pytest.fixture
def client(guarded: Service) -> Iterator[TestClient]:
    with client_of(guarded) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def routes(client: TestClient) -> list[tuple[str, str]]:
    """Method and path of everything that the application serves."""
    app: Any = client.app
    found = []
    for route in iter_route_contexts(app.routes):
        path = str(route.path if route.path in OPEN else route.path_format)
        found += [(method, path) for method in getattr(route, "methods", None) or {"GET"}]
    assert ("POST", "/v1/search") in found
    assert ("GET", "/web") in found
    return found


def test_every_route_with_every_scope_and_none(client: TestClient, keys: dict[Scope, str]) -> None:
    looked = 0
    for method, path in routes(client):
        need = "nothing" if path in OPEN else NEEDS[f"{method} {path}"]
        address = "/web/app.js" if path == "/web" else path.replace("{", "").replace("}", "")

        def ask(headers: dict[str, str], method: str = method, address: str = address) -> Any:
            # A body that nobody can use: the guard comes before whoever reads it, and nothing is done for those let in.
            return client.request(method, address, content=b"{", headers=headers)

        without, unknown = ask({}), ask(bearer("cw_unknown"))
        if need == "nothing":
            assert {without.status_code, unknown.status_code} <= {200, 404, 503}, (method, path)
            continue
        for answer in (without, unknown):
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith('Bearer realm="clickwise"')
        for scope in SCOPES:
            status = ask(bearer(keys[scope])).status_code
            assert status < 500, (method, path, scope)
            assert status != 401, (method, path, scope)
            assert (status != 403) == (need == "any" or scope in (need, "admin")), (method, path, scope)
            looked += 1
    assert looked == len(SCOPES) * sum(need != "nothing" for need in NEEDS.values())


def test_the_two_headers(client: TestClient, keys: dict[Scope, str]) -> None:
    for headers in (bearer(keys["read"]), {"X-API-Key": keys["read"]}, {"Authorization": f"bearer  {keys['read']} "}):
        assert client.get("/v1/whoami", headers=headers).json()["scopes"] == ["read"]
    for headers in ({"Authorization": f"Basic {keys['read']}"}, {"Authorization": keys["read"]}, {"X-API-Key": " "}):
        body = problem(client.get("/v1/whoami", headers=headers), 401, "unauthorized")
        assert "clickwise keys create" in body["advice"]


def test_who_am_i(client: TestClient, keys: dict[Scope, str], guarded: Service) -> None:
    answer = client.get("/v1/whoami", headers=bearer(keys["admin"])).json()
    assert answer["authentication"] is True
    assert answer["name"] == "admin"
    assert answer["scopes"] == list(SCOPES)
    assert answer["key_id"] in {key.id for key in Keys(guarded.store).all()}


def test_what_is_refused_says_what_to_do(client: TestClient, keys: dict[Scope, str]) -> None:
    answer = client.post("/v1/feedback", json={}, headers=bearer(keys["read"]))
    body = problem(answer, 403, "forbidden")
    assert "lacks the scope feedback" in body["detail"]
    assert 'error="insufficient_scope", scope="feedback"' in answer.headers["www-authenticate"]


def test_feedback_along_with_a_search_takes_both_scopes(
    client: TestClient, keys: dict[Scope, str], guarded: Service
) -> None:
    _, both = Keys(guarded.store).create("both", ["read", "feedback"])
    asked = client.post("/v1/search", json={"query": "boat"}, headers=bearer(keys["read"])).json()
    told = {"query_id": asked["query_id"], "feedback": [{"document": asked["hits"][0]["id"], "relevance": 1.0}]}
    body = problem(client.post("/v1/search", json=told, headers=bearer(keys["read"])), 403, "forbidden")
    assert "lacks the scope feedback" in body["detail"]
    assert guarded.store.marks(asked["query_id"]) == {}
    again = client.post("/v1/search", json=told, headers=bearer(both))
    assert (again.status_code, again.json()["round"]) == (200, 2)


def test_keys_over_http(client: TestClient, keys: dict[Scope, str]) -> None:
    admin = bearer(keys["admin"])
    made = client.post("/admin/keys", json={"name": "shop", "scopes": ["feedback", "read"], "days": 1}, headers=admin)
    assert made.status_code == 201
    key = made.json()
    assert key["scopes"] == ["read", "feedback"]
    assert client.post("/v1/search", json={"query": "boat"}, headers=bearer(keys["read"])).status_code == 200
    listed = {one["id"]: one for one in client.get("/admin/keys", headers=admin).json()["keys"]}
    assert listed[key["id"]] == {name: value for name, value in key.items() if name != "key"}
    gone = client.delete(f"/admin/keys/{key['id']}", headers=admin).json()
    assert (gone["valid"], gone["revoked"] is not None) == (False, True)
    problem(client.delete("/admin/keys/nobody", headers=admin), 404, "not-found")
    problem(client.post("/admin/keys", json={"name": "x", "scopes": []}, headers=admin), 422, "invalid-input", "scopes")


def test_without_authentication_everybody_here_may_do_everything(
    make_service: MakeService, lexical_index: Index
) -> None:
    with client_of(make_service({"lexical": lexical_index})) as client:
        answer = client.get("/v1/whoami").json()
        assert (answer["authentication"], answer["key_id"], answer["scopes"]) == (False, None, list(SCOPES))
        assert client.get("/v1/indexes", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
        # The browser of this machine must not carry a stranger's page here.
        problem(client.get("/v1/indexes", headers={"Sec-Fetch-Site": "cross-site"}), 403, "forbidden")
        assert client.get("/healthz", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "auth", "status"),
    [
        ("evil.example:8080", "auto", 403),
        ("Evil.Example.", "auto", 403),
        ("127.0.0.1.evil.example", "auto", 403),
        ("[evil.example]", "auto", 403),
        ("localhost:8080", "auto", 200),
        ("127.0.0.1:8080", "auto", 200),
        ("[::1]:8080", "auto", 200),
        ("search", "auto", 200),
        ("host.docker.internal:8080", "auto", 200),
        ("search.example", "off", 200),
    ],
)
def test_without_keys_no_name_of_the_internet_leads_here(
    make_service: MakeService, lexical_index: Index, host: str, auth: str, status: int
) -> None:
    with client_of(make_service({"lexical": lexical_index}, auth=auth)) as client:
        answer = client.get("/v1/indexes", headers={"Host": host})
        assert answer.status_code == status, answer.text
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_with_keys_it_answers_to_every_name(client: TestClient, keys: dict[Scope, str]) -> None:
    assert client.get("/v1/whoami", headers={"Host": "search.example", **bearer(keys["read"])}).status_code == 200


def test_keys_wait_for_the_service(guarded: Service) -> None:
    client = TestClient(create_app(guarded.settings))
    problem(client.get("/v1/whoami", headers=bearer("cw_any")), 503, "not-ready")
    problem(client.get("/v1/whoami"), 401, "unauthorized")


def test_openapi_tells_scopes_and_refusals(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            need = NEEDS[f"{method.upper()} {path}"]
            assert operation.get("x-scope", "nothing") == need
            assert ({"401", "403", "429"} <= set(operation["responses"])) == (need != "nothing")


def test_a_route_that_declares_nothing_cannot_be_made() -> None:
    router = APIRouter(route_class=Guarded)
    with pytest.raises(LookupError, match=r"NEEDS.*/v1/surprise"):
        router.get("/v1/surprise")(lambda: None)
    plain = APIRouter()
    plain.get("/v1/whoami")(lambda: None)
    with pytest.raises(LookupError, match="route_class=Guarded"):
        access.check(plain.routes)


@pytest.mark.parametrize(
    ("host", "auth", "needed"),
    [
        ("127.0.0.1", "auto", False),
        ("localhost", "auto", False),
        ("::1", "auto", False),
        ("0.0.0.0", "auto", True),
        ("::", "auto", True),
        ("10.1.2.3", "auto", True),
        ("search.example.org", "auto", True),
        ("127.0.0.1", "on", True),
        ("0.0.0.0", "off", False),
    ],
)
def test_when_keys_are_asked_for(host: str, auth: Any, needed: bool) -> None:
    assert Settings(host=host, auth=auth).authenticates is needed

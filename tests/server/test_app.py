"""The application as a whole: start, headers, request ids, the OpenAPI document, and failures nobody foresaw."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from index.errors import UnavailableError
from index.index import Index
from server.access import NEEDS
from server.app import create_app
from server.service import Service
from server.settings import Settings
from tests.server.conftest import MakeService, client_of
from tests.server.test_problems import problem


def test_it_lives_before_it_is_ready(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index})
    may_open, warm = threading.Event(), threading.Event()

    def slow(_: Settings) -> Service:
        assert may_open.wait(30)
        return service

    app = create_app(service.settings, open_service=slow, on_warm=lambda failure: warm.set() if not failure else None)
    with TestClient(app) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/").status_code == 200
        for answer in (client.get("/readyz"), client.post("/v1/search", json={"query": "boat"})):
            assert "warming up" in problem(answer, 503, "not-ready")["detail"]
            assert answer.headers["retry-after"] == "1"
        may_open.set()
        assert warm.wait(30)
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.post("/v1/search", json={"query": "boat"}).status_code == 200


def test_the_warm_up_leaves_no_trace(make_service: MakeService, dense_index: Index) -> None:
    service = make_service({"dense": dense_index})
    service.warm_up()
    with service.store.database.engine.connect() as connection:
        for table in ("queries", "rankings", "impressions", "events"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_a_service_that_cannot_start_says_why(caplog: pytest.LogCaptureFixture, service: Service) -> None:
    def fails(_: Settings) -> Service:
        raise UnavailableError("No Java was found.", "Install it.")

    failed = threading.Event()

    class Noticing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failed.set()

    handler = Noticing()
    logging.getLogger("clickwise.app").addHandler(handler)
    try:
        with TestClient(create_app(service.settings, open_service=fails)) as client:
            assert failed.wait(30)
            assert "No Java was found. Install it." in problem(client.get("/readyz"), 503, "not-ready")["detail"]
            assert client.get("/healthz").status_code == 200
    finally:
        logging.getLogger("clickwise.app").removeHandler(handler)
    assert "the service could not start" in caplog.text


def test_a_store_that_cannot_be_written_keeps_it_from_starting(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index})
    with service.store.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(UnavailableError, match="cannot be written"):
        service.warm_up()


def test_request_ids(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = {
        client.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"] for bad in ("", "a b", "x" * 101)
    }
    assert len(made) == 3
    assert all(len(request_id) == 32 for request_id in made)


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/healthz", "/nothing", "/openapi.json", "/v1/indexes"])
def test_safe_headers_everywhere(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_page(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert "<title>Clickwise</title>" in page.text
    script = client.get("/web/app.js")
    assert "javascript" in script.headers["content-type"]
    assert script.headers["cache-control"] == "no-cache"
    assert client.get("/web/app.js", headers={"If-None-Match": script.headers["etag"]}).status_code == 304
    assert client.head("/").status_code == 200


@pytest.mark.parametrize(("path", "name"), [("/", "Search"), ("/operate", "Operate"), ("/evaluate", "Evaluate")])
def test_the_pages_share_their_frame_and_say_which_they_are(client: TestClient, path: str, name: str) -> None:
    page = client.get(path).text
    links = re.findall(r'<a href="(.*?)"(?: (aria-current="page"))?>(.*?)</a>', page)
    current = 'aria-current="page"'
    assert links == [
        (address, current if shown == name else "", shown)
        for address, shown in (("./", "Search"), ("operate", "Operate"), ("evaluate", "Evaluate"))
    ]
    assert page.count("<main ") == 1
    assert all(client.get(f"/{file}").status_code == 200 for file in re.findall(r'(?:href|src)="(web/.*?)"', page))


def test_no_docs_from_other_hosts(client: TestClient) -> None:
    for path in ("/docs", "/redoc"):
        problem(client.get(path), 404, "not-found")


def test_openapi(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = {(method, path): spec for path, item in document["paths"].items() for method, spec in item.items()}
    assert {f"{method.upper()} {path}" for method, path in operations} == set(NEEDS)
    for (method, path), operation in operations.items():
        assert operation["description"], path
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}, (method, path, status)
        if "requestBody" in operation:
            ((media, content),) = operation["requestBody"]["content"].items()
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            assert content.get("example") or document["components"]["schemas"][name]["examples"], (path, media)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_examples_of_openapi_are_accepted(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for path, name in (("/v1/search", "SearchRequest"), ("/v1/feedback", "FeedbackRequest")):
        for example in schemas[name]["examples"]:
            # The documents and query ids of the examples are made up: 404 says that all else is right.
            answer = client.post(path, json=example)
            no_field = (
                answer.status_code == 422 and answer.json()["field"] == "filter"
            )  # nor is the filter's field ours
            assert answer.status_code in (200, 404) or no_field, answer.text


def test_the_catalog(client: TestClient) -> None:
    dense, lexical = client.get("/v1/indexes").json()["indexes"]
    assert (dense["name"], dense["default"], dense["vectors"], dense["encoder"]) == ("dense", True, True, "hashing")
    assert dense["learned"] == []
    assert (lexical["name"], lexical["default"], lexical["vectors"], lexical["encoder"]) == (
        "lexical",
        False,
        False,
        None,
    )
    assert (lexical["documents"], lexical["fields"]) == (60, {"topic": "keyword", "part": "number", "even": "keyword"})
    pipelines = {pipeline["name"]: pipeline for pipeline in client.get("/v1/pipelines").json()["pipelines"]}
    assert {"bm25", "bm25-qe", "knn-paper", "knn", "probe", "dense", "hybrid", "rrf-paper", "fused"} <= set(pipelines)
    assert set(pipelines["fused"]["indexes"]) == {"dense"}
    assert set(pipelines["bm25"]["indexes"]) == {"dense", "lexical"}
    assert pipelines["smoothed"]["default_for"] == ["dense"]
    assert pipelines["bm25-qe"]["default_for"] == ["lexical"]
    assert all(pipeline["description"] and pipeline["stages"] for pipeline in pipelines.values())


def test_a_failure_nobody_foresaw(
    make_service: MakeService, lexical_index: Index, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service({"lexical": lexical_index})

    def breaks(*_: Any) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(service, "search", breaks)
    with client_of(service) as client:
        answer = client.post("/v1/search", json={"query": "boat"}, headers={"X-Request-ID": "find-me"})
    body = problem(answer, 500, "internal")
    assert "find-me" in body["advice"]
    assert "secret" not in answer.text
    assert "ZeroDivisionError: a secret of ours" in caplog.text
    assert "find-me" in caplog.text


def test_requests_are_logged_without_what_was_asked(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="clickwise"):
        client.post("/v1/search", json={"query": "a private matter", "user_id": "somebody"})
    assert "POST /v1/search 200" in caplog.text
    assert "private" not in caplog.text
    assert "somebody" not in caplog.text


def test_a_busy_service_turns_requests_away(
    make_service: MakeService, lexical_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service({"lexical": lexical_index}, threads=1, max_waiting=0)
    entered, go_on = threading.Event(), threading.Event()
    indexes: Callable[[], Any] = service.indexes

    def slow() -> Any:
        entered.set()
        assert go_on.wait(30)
        return indexes()

    monkeypatch.setattr(service, "indexes", slow)
    with client_of(service) as client:
        answers: list[int] = []
        waiting = threading.Thread(target=lambda: answers.append(client.get("/v1/indexes").status_code))
        waiting.start()
        assert entered.wait(30)
        try:
            problem(client.get("/v1/indexes"), 429, "busy")
            problem(client.post("/v1/search", content=b"{"), 429, "busy")  # before anybody reads what was sent
            assert client.get("/metrics").status_code == 200
            assert client.get("/healthz").status_code == 200  # the event loop is free
        finally:
            go_on.set()
            waiting.join()
        assert answers == [200]
        assert client.get("/v1/indexes").status_code == 200

"""`clickwise doctor --server`: what it finds at a real service, and at what is none."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import uvicorn

from index.index import Index
from server import cli, doctor_remote
from server.app import create_app
from server.doctor import Check
from server.doctor_remote import examine_server
from server.keys import Keys
from server.service import Service
from tests.server.conftest import MakeService


@contextmanager
def listening(service: Service, ready: bool = True) -> Iterator[str]:
    """A service on a port of its own, in a thread."""
    app = create_app(service.settings)
    if ready:
        app.state.house.service = service
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            app.state.house.workers.close()


def found(url: str, key: str | None = None) -> dict[str, Check]:
    return {check.name: check for check in examine_server(url, key)}


def test_a_service_without_keys(make_service: MakeService, lexical_index: Index) -> None:
    with listening(make_service({"lexical": lexical_index})) as url:
        checks = found(url.removeprefix("http://"))
    assert set(checks) == {"Server", "Clock", "Ready", "Key", "Version", "Metrics", "Index lexical"}
    assert {check.status for check in checks.values()} == {"ok"}, checks
    assert checks["Ready"].detail == "store, indexes, models"
    assert "this machine alone" in checks["Key"].detail
    assert " series at http://" in checks["Metrics"].detail
    assert "documents: 60" in checks["Index lexical"].detail


def test_a_service_with_keys(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index}, auth="on")
    key, text = Keys(service.store).create("operator", ["read"])
    _, weak = Keys(service.store).create("pages", ["feedback"])
    with listening(service) as url:
        none, wrong, few, right = found(url), found(url, "cw_wrong"), found(url, weak), found(url, text)
    assert (none["Key"].status, none["Metrics"].status) == ("warning", "warning")
    assert "--key" in none["Key"].advice
    assert (wrong["Key"].status, "not valid" in wrong["Key"].detail) == ("problem", True)
    assert (few["Key"].status, few["Metrics"].status) == ("ok", "warning")
    assert {check.status for check in right.values()} == {"ok"}
    assert right["Key"].detail == f"{key.id} (operator) may read"


def test_a_service_that_is_not_ready_or_of_another_version(
    make_service: MakeService, lexical_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_remote.metadata, "version", lambda _: "99.0")
    with listening(make_service({"lexical": lexical_index}), ready=False) as url:
        checks = found(url)
    assert (checks["Ready"].status, "warming up" in checks["Ready"].detail) == ("problem", True)
    assert (checks["Version"].status, "99.0" in checks["Version"].detail) == ("warning", True)


def test_clocks_apart(make_service: MakeService, lexical_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(minutes=3)

    monkeypatch.setattr(doctor_remote, "datetime", Late)
    with listening(make_service({"lexical": lexical_index})) as url:
        begun = time.perf_counter()
        clock = found(url)["Clock"]
        took = time.perf_counter() - begun
    assert clock.status == "warning"
    # The server writes its time down every second, or as soon as it comes to it.
    assert 178 <= int(clock.detail.split(" s ")[0]) <= 182 + took


@contextmanager
def stranger(body: bytes, headers: dict[str, str]) -> Iterator[str]:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("headers", [{}, {"X-Request-ID": "a"}])
@pytest.mark.parametrize("body", [b"hello", b"[1]", b""])
def test_something_else_that_answers(body: bytes, headers: dict[str, str]) -> None:
    with stranger(body, headers) as url:
        (check,) = examine_server(url, None)
    assert (check.status, "Something else" in check.detail) == ("problem", True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://", "ftp://127.0.0.1", "http://127.0.0.1:port"])
def test_nothing_answers(url: str) -> None:
    (check,) = examine_server(url, None)
    assert (check.status, "Nothing answers" in check.detail) == ("problem", True)
    assert check.advice


def test_a_key_that_cannot_be_sent() -> None:
    (check,) = examine_server("http://127.0.0.1:1", "cw_ä\n")
    assert (check.name, check.status) == ("Key", "problem")


@pytest.mark.parametrize(
    ("url", "authentication", "key", "warned"),
    [
        ("http://search.example.org", False, None, {"Key"}),
        ("http://search.example.org", True, "cw_a", {"Encryption"}),
        ("https://search.example.org", True, "cw_a", set()),
        ("http://localhost:8080", True, "cw_a", set()),
    ],
)
def test_open_doors_and_keys_in_the_clear(url: str, authentication: bool, key: str | None, warned: set[str]) -> None:
    import httpx

    def answer(request: httpx.Request) -> httpx.Response:
        body = {"authentication": authentication, "key_id": "a", "name": "b", "scopes": ["read"]}
        return httpx.Response(200, json=body)

    with httpx.Client(base_url=url, transport=httpx.MockTransport(answer)) as client:
        checks = list(doctor_remote._keys(doctor_remote.Visit(client, url, key)))
    assert {check.name for check in checks if check.status == "warning"} == warned


def test_the_command(
    make_service: MakeService,
    lexical_index: Index,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = make_service({"lexical": lexical_index}, auth="on")
    monkeypatch.setenv("CLICKWISE_KEY", Keys(service.store).create("operator", ["read"])[1])

    def run(*arguments: str) -> int:
        return cli.run(["doctor", *arguments])

    with listening(service) as url:
        assert run("--server", url, "--json") == 0
        assert json.loads(capsys.readouterr().out)["status"] == "ok"
        assert run("--server", url, "--key", "cw_wrong") == 1
        assert "mend: Name one with --key" in capsys.readouterr().out
    assert run("--server", "127.0.0.1:1") == 1

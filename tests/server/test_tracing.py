"""Traces: a span per request with its parts below, under the caller's trace, to wherever the setting says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

from index.errors import UnavailableError
from index.index import Index
from server.settings import Settings
from server.tracing import Traces
from server.watch import Watch
from tests.server.conftest import MakeService, client_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@contextmanager
def traced(client: TestClient) -> Iterator[list[ReadableSpan]]:
    """Collects the spans of what the client asks inside the block."""
    app: Any = client.app
    watch: Watch = app.state.house.watch
    kept, spans = InMemorySpanExporter(), []
    watch.traces = Traces(kept, "1.2.3")
    try:
        yield spans
        watch.traces.close()
        spans += kept.get_finished_spans()
    finally:
        watch.traces = None


def test_a_search_is_a_span_with_its_parts_below(client: TestClient) -> None:
    with traced(client) as spans:
        headers = {"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = client.post("/v1/search", json={"query": "espresso"}, headers=headers).json()
    (request,) = [span for span in spans if span.kind is SpanKind.SERVER]
    assert request.name == "POST /v1/search"
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/search",
        "http.response.status_code": 200,
        "clickwise.request_id": "mine",
    }
    assert format(request.context.trace_id, "032x") == TRACE
    assert request.parent is not None
    assert format(request.parent.span_id, "016x") == PARENT
    assert (request.resource.attributes["service.name"], request.resource.attributes["service.version"]) == (
        "clickwise",
        "1.2.3",
    )
    parts = [span for span in spans if span is not request]
    assert {span.name for span in parts} == set(answer["timings_ms"]) - {"total"}
    assert [parts[0].name, *(span.name for span in parts[-2:])] == ["encode", "hits", "store"]
    for span in parts:
        assert span.parent == request.context
        assert (span.end_time - span.start_time) / 1e6 == pytest.approx(answer["timings_ms"][span.name], abs=0.01)
    for before, after in pairwise(parts):
        assert before.end_time == after.start_time


def test_what_fails_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = client.app

    def breaks(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app.state.house.service, "indexes", breaks)
    with traced(client) as spans:
        client.get("/v1/indexes")
        client.get("/nothing")
    failed, missing = spans
    assert (failed.name, failed.status.status_code) == ("GET /v1/indexes", StatusCode.ERROR)
    assert (missing.name, missing.status.status_code) == ("GET (none)", StatusCode.UNSET)


def test_spans_reach_a_collector(make_service: MakeService, lexical_index: Index) -> None:
    received: list[tuple[str, bytes]] = []
    arrived = threading.Event()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}/"
            service = make_service({"lexical": lexical_index}, traces=address)
            with client_of(service) as client:
                client.get("/v1/pipelines")
                app: Any = client.app
                app.state.house.watch.close()
            assert arrived.wait(30)
        finally:
            server.shutdown()
            thread.join()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"GET /v1/pipelines" in body


def test_spans_on_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    traces = Traces.to("console", "1")
    with traces.request("GET", {}, "r"):
        traces.parts({"bm25": 1.0, "total": 1.5})
    traces.close()
    below, above = (json.loads(line) for line in out.getvalue().splitlines())
    assert (below["name"], above["name"]) == ("bm25", "GET")
    assert below["parent_id"] == above["context"]["span_id"]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(UnavailableError, match=r"clickwise\[otel\]"):
        Traces.to("console", "1")


def test_nothing_of_it_is_loaded_where_it_is_off() -> None:
    code = (
        "import sys, tempfile; from server.app import create_app; from server.settings import Settings; "
        "create_app(Settings(home=tempfile.gettempdir())); "
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("bad", ["collector:4318", "grpc://collector", "consoles"])
def test_addresses_that_are_none(bad: str) -> None:
    with pytest.raises(ValueError, match="traces"):
        Settings(traces=bad)


def test_a_collector_that_refuses_costs_no_request(make_service: MakeService, lexical_index: Index) -> None:
    class Refusing:
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.FAILURE

        def shutdown(self) -> None:
            pass

    with client_of(make_service({"lexical": lexical_index})) as client:
        app: Any = client.app
        app.state.house.watch.traces = Traces(Refusing(), "1")  # type: ignore[arg-type]
        assert client.get("/v1/pipelines").status_code == 200
        app.state.house.watch.close()

"""OpenTelemetry traces: a span per request, with one below it for each part of a search. Off unless it is asked for.

The spans of a search are made when its answer is there, from the timings that it carries: they follow one another, as
the parts did. W3C `traceparent` headers are honoured, and so are the OTEL_* variables of service name and sampling.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from index.errors import UnavailableError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

EXPORT_SECONDS: Final = 5
"""How long an export, and so also the end of the service, may wait for the collector."""


class Traces:
    """Where spans are made. Thread-safe."""

    def __init__(self, exporter: SpanExporter, version: str) -> None:
        from opentelemetry import context
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context.get_current()  # looks through all installed packages when it is first called: not in a request
        named = Resource.create({"service.version": version})
        if str(named.attributes["service.name"]).startswith("unknown_service"):
            named = named.merge(Resource({"service.name": "clickwise"}))
        self._provider = TracerProvider(resource=named)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("clickwise", version)
        self._extract = TraceContextTextMapPropagator().extract

    @classmethod
    def to(cls, target: str, version: str) -> Traces:
        """Traces to the console (stderr) or the OTLP collector at this address.

        Raises UnavailableError where the extra `otel` is not installed.
        """
        try:
            return cls(_exporter(target), version)
        except ImportError:
            raise UnavailableError(
                "Traces need packages that are not installed.", "Install clickwise[otel], or leave out `traces`."
            ) from None

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str], request_id: str) -> Iterator[Span]:
        """The span of one request, below that of its caller where the headers name one."""
        from opentelemetry.trace import SpanKind

        attributes = {"http.request.method": method, "clickwise.request_id": request_id}
        above = self._extract({name: headers[name] for name in ("traceparent", "tracestate") if name in headers})
        with self._tracer.start_as_current_span(method, above, SpanKind.SERVER, attributes) as span:
            yield span

    def parts(self, timings_ms: Mapping[str, float]) -> None:
        """The parts of a search that has just ended, as spans below the current one.

        `timings_ms` holds milliseconds by part, and their `total`.
        """
        moment = time.time_ns() - int(1e6 * timings_ms["total"])
        for name, ms in _in_order(timings_ms):
            span = self._tracer.start_span(name, start_time=moment)
            moment += int(1e6 * ms)
            span.end(moment)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def ended(span: Span, method: str, route: str, status: int) -> None:
    """Say on a request's span what became of it."""
    from opentelemetry.trace import StatusCode

    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def _in_order(timings_ms: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    """The query is encoded when the first stage asks for it; the hits, and what the store is waited for, come last."""
    last = ("hits", "store")
    stages = [name for name in timings_ms if name not in ("encode", "total", *last)]
    return ((name, timings_ms[name]) for name in ("encode", *stages, *last) if name in timings_ms)


def _exporter(target: str) -> SpanExporter:
    import sys

    if target == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{target.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)

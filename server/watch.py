"""What is told of the requests: counted, logged in a line each, and traced where that is wished.

The rooms below know nothing of it: their answers carry timings and reasons, and caches and queues their own counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope

from server.logs import fields
from server.metrics import Metrics
from server.schemas import SearchAnswer
from server.settings import Settings
from server.tracing import Traces, ended

if TYPE_CHECKING:
    from server.guard import Caller

log = logging.getLogger("clickwise.http")

UNMATCHED: Final = "(none)"
"""The route of requests for which there is none."""
QUIET: Final = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
"""Routes that machines ask all day: their line is for debugging, unless they fail."""
_LONGEST_PATH: Final = 200


class Watch:
    """The observer of one application. Thread-safe."""

    def __init__(self, settings: Settings, version: str) -> None:
        """Raises UnavailableError where traces are asked for and the extra `otel` is not installed."""
        self.metrics = Metrics(version)
        self.traces = Traces.to(settings.traces, version) if settings.traces else None
        self._tell_queries = settings.log_queries

    @contextmanager
    def request(self, scope: Scope, request_id: str) -> Iterator[Seen]:
        """Around everything that is done for a request."""
        seen = Seen(scope)
        self.metrics.in_progress.inc()
        try:
            if self.traces is None:
                yield seen
            else:
                with self.traces.request(scope["method"], Headers(scope=scope), request_id) as span:
                    try:
                        yield seen
                    finally:
                        ended(span, scope["method"], seen.route, seen.status)
        finally:
            self.metrics.in_progress.dec()
            self.metrics.answered(scope["method"], seen.route, seen.status, seen.seconds, seen.problem)
            seen.tell(request_id)

    def waited(self, seconds: float) -> None:
        """A request has waited so long for a thread."""
        self.metrics.waited(seconds)

    def gave(self, answer: object) -> dict[str, object]:
        """An answer is there. Gives what the line of its request says of it: no text of anybody's, unless asked."""
        self.metrics.gave(answer)
        if not isinstance(answer, SearchAnswer):
            return {}
        if self.traces is not None:
            self.traces.parts(answer.timings_ms)
        return {
            "query_id": answer.query_id,
            "index": answer.index,
            "pipeline": answer.pipeline,
            "round": answer.round,
            "degraded": answer.degraded,
            "query": answer.query if self._tell_queries else None,
        }

    def close(self) -> None:
        """Send what is left."""
        if self.traces is not None:
            self.traces.close()


def route_of(scope: Scope) -> str:
    """The path with names in place of what callers fill in; known when the application has chosen."""
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", None) or UNMATCHED)


class Seen:
    """One request as it passes. `status` is 0 until the answer begins."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._start = scope, time.perf_counter()
        self.status = 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def route(self) -> str:
        return route_of(self._scope)

    @property
    def problem(self) -> str | None:
        """The kind of the problem that was the answer, if it was one."""
        kind: str | None = self._scope.get("state", {}).get("problem_kind", "internal" if self.status == 500 else None)
        return kind

    def tell(self, request_id: str) -> None:
        """The line of this request: its route, for paths can hold what belongs to a person."""
        level = logging.DEBUG if self.route in QUIET and self.status < 400 else logging.INFO
        if not log.isEnabledFor(level):
            return
        state = self._scope.get("state", {})
        caller: Caller | None = state.get("caller")
        key = caller.key.id if caller and caller.key else None
        noted: dict[str, object] = state.get("noted", {})
        method, ms = self._scope["method"], round(1000 * self.seconds, 1)
        where = self.route if self.route != UNMATCHED else quote(self._scope["path"])[:_LONGEST_PATH]
        extra = fields(
            method=method, route=where, status=self.status, duration_ms=ms, key=key, problem=self.problem, **noted
        )
        line = f"{method} {where} {self.status} {ms} ms"
        if noted.get("query") is not None:
            line += f" {noted['query']!r}"
        if self.problem:
            line += f" {self.problem}"
        if key:
            line += f" key {key}"
        log.log(level, "%s (request %s)", line, request_id, extra=extra)

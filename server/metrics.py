"""What the service counts and times, for Prometheus. One registry per application.

Counters and histograms are filled as answers go out, in microseconds; everything that has a current value (queues,
caches, indexes, the JVM) is read when Prometheus asks. Labels come from what is configured or from small fixed sets,
never from what a caller sends. docs/operating.md describes every metric and what to alert on.
"""

from __future__ import annotations

import platform
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from index.distribution import SECONDS
from server.schemas import BulkAnswer, FeedbackAnswer, SearchAnswer, WrittenAnswer

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every counter, which says when it was made


class Metrics:
    """The metrics of one application. Thread-safe."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        to = self.registry
        ProcessCollector(registry=to)
        GCCollector(registry=to)
        Info("clickwise_build", "What runs.", registry=to).info(
            {"version": version, "python_version": platform.python_version()}
        )
        self._requests = Counter("http_requests", "Requests answered.", ["method", "route", "status"], registry=to)
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "From the first byte to the last.",
            ["method", "route"],
            buckets=SECONDS,
            registry=to,
        )
        self._problems = Counter(
            "clickwise_problems", "Answers that are problems, by kind.", ["route", "kind"], registry=to
        )
        self.in_progress = Gauge("http_requests_in_progress", "Requests that are worked on or wait.", registry=to)
        self._waited = Histogram(
            "clickwise_queue_duration_seconds", "How long requests waited for a thread.", buckets=SECONDS, registry=to
        )
        self._searches = Counter(
            "clickwise_searches",
            "Rankings and pages given.",
            ["index", "pipeline", "kind"],
            registry=to,
        )
        self._stages = Histogram(
            "clickwise_stage_duration_seconds",
            "What the parts of a search took: its pipeline's stages, encode (the query), hits, store (beyond them).",
            ["stage"],
            buckets=SECONDS,
            registry=to,
        )
        self._degraded = Counter("clickwise_degraded", "Answers that are less than promised.", ["reason"], registry=to)
        self._feedback = Counter(
            "clickwise_feedback",
            "Acts of people recorded, or sent again.",
            ["outcome"],
            registry=to,
        )
        self._documents = Counter("clickwise_documents_written", "Documents added or replaced.", ["index"], registry=to)

    def answered(self, method: str, route: str, status: int, seconds: float, problem: str | None) -> None:
        """A request is over. `status` 0: its client had gone before there was one. `problem`: the kind, if it was."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status) if status else "gone").inc()
        self._seconds.labels(method, route).observe(seconds)
        if problem:
            self._problems.labels(route, problem).inc()

    def waited(self, seconds: float) -> None:
        """A request had to wait for a thread."""
        self._waited.observe(seconds)

    def degraded(self, reason: str) -> None:
        """An answer was less than promised."""
        self._degraded.labels(reason).inc()

    def gave(self, answer: object) -> None:
        """What an answer tells by itself."""
        if isinstance(answer, SearchAnswer):
            self._searched(answer)
        elif isinstance(answer, FeedbackAnswer):
            self._feedback.labels("duplicate" if answer.duplicate else "recorded").inc()
        elif isinstance(answer, WrittenAnswer):
            self._documents.labels(answer.index).inc()
        elif isinstance(answer, BulkAnswer):
            self._documents.labels(answer.index).inc(answer.upserted)

    def _searched(self, answer: SearchAnswer) -> None:
        kind = "page" if answer.offset else "first" if answer.round == 1 else "again"
        self._searches.labels(answer.index, answer.pipeline, kind).inc()
        for stage, ms in answer.timings_ms.items():
            if stage != "total":
                self._stages.labels(stage).observe(ms / 1000)
        if answer.degraded:
            self.degraded(answer.degraded)

    def exposition(self) -> tuple[bytes, str]:
        """All of it in Prometheus' text format, with its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

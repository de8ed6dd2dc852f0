"""What has a current value: queues, caches, engines, indexes and the JVM, read when Prometheus asks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from index.errors import ClickwiseError
from index.java import heap

if TYPE_CHECKING:
    from index.index import Index
    from ranking.learning.engine import Engine
    from server.door import House
    from server.service import Service


class Gauges(Collector):
    """Reads them off a house. Nothing in here waits for a lock that is held for long, the store or the disk."""

    def __init__(self, house: House) -> None:
        self._house = house

    def describe(self) -> Iterable[Metric]:
        return ()  # else the registry would collect once to learn the names

    def collect(self) -> Iterator[Metric]:
        yield from self._workers()
        yield from _java()
        engines, service = _engines(), self._house.service
        yield from _models(engines)
        yield from _caches(engines, service.catalog.indexes if service else {})
        if service is not None:
            yield from _indexes(service.catalog.indexes)
            yield from _store(service)
            yield _releases(service)

    def _workers(self) -> Iterator[Metric]:
        ready = float(self._house.service is not None)
        yield GaugeMetricFamily("clickwise_ready", "1 when the service has opened everything and is warm.", value=ready)
        threads = GaugeMetricFamily("clickwise_workers", "Threads that work for requests.", labels=["lane"])
        busy = GaugeMetricFamily("clickwise_workers_busy", "Those that work for one.", labels=["lane"])
        size = GaugeMetricFamily("clickwise_queue_size", "Requests that wait for a thread.", labels=["lane"])
        limit = GaugeMetricFamily("clickwise_queue_limit", "Requests that may; one more gets 429.", labels=["lane"])
        for lane, workers in self._house.lanes().items():
            inside = workers.inside
            threads.add_metric([lane], workers.threads)
            busy.add_metric([lane], min(inside, workers.threads))
            size.add_metric([lane], max(0, inside - workers.threads))
            limit.add_metric([lane], workers.room - workers.threads)
        yield from (threads, busy, size, limit)


def _engines() -> dict[str, Engine]:
    """The engines of this process. One that has none yet does not load torch for the question."""
    module = sys.modules.get("ranking.learning.engines")
    running: dict[str, Engine] = module.running() if module else {}
    return running


def _java() -> Iterator[Metric]:
    if found := heap():
        used, most = found
        for name, help_, value in (
            ("jvm_memory_used_bytes", "Memory of the JVM in use.", used),
            ("jvm_memory_max_bytes", "Memory that the JVM may take.", most),
        ):
            family = GaugeMetricFamily(name, help_, labels=["area"])
            family.add_metric(["heap"], value)
            yield family


def _models(engines: dict[str, Engine]) -> Iterator[Metric]:
    queue = GaugeMetricFamily("clickwise_model_queue_tokens", "Tokens that wait or are computed.", labels=["model"])
    batches = CounterMetricFamily("clickwise_model_batches", "Batches computed.", labels=["model"])
    texts = CounterMetricFamily("clickwise_model_texts", "Texts computed: per batch, its size.", labels=["model"])
    tokens = CounterMetricFamily("clickwise_model_tokens", "Tokens computed.", labels=["model"])
    seconds = CounterMetricFamily("clickwise_model_compute_seconds", "Time of all cores together.", labels=["model"])
    for model, engine in engines.items():
        computed = engine.computed
        queue.add_metric([model], engine.waiting_tokens)
        batches.add_metric([model], computed.batches)
        texts.add_metric([model], computed.texts)
        tokens.add_metric([model], computed.tokens)
        seconds.add_metric([model], computed.seconds)
    yield from (queue, batches, texts, tokens, seconds)


def _caches(engines: Mapping[str, Engine], indexes: Mapping[str, Index]) -> Iterator[Metric]:
    size = GaugeMetricFamily("clickwise_cache_bytes", "Bytes that a cache holds.", labels=["cache", "of"])
    limit = GaugeMetricFamily("clickwise_cache_limit_bytes", "Bytes that it may hold.", labels=["cache", "of"])
    entries = GaugeMetricFamily("clickwise_cache_entries", "What it holds, counted.", labels=["cache", "of"])
    asked = CounterMetricFamily(
        "clickwise_cache_requests",
        "Look-ups; a hit among the deltas is an adaptation that needed no computing.",
        labels=["cache", "of", "result"],
    )
    for model, engine in engines.items():
        for name, cache in (("states", engine.kept), ("deltas", engine.deltas)):
            size.add_metric([name, model], cache.bytes)
            limit.add_metric([name, model], cache.limit)
            entries.add_metric([name, model], len(cache))
            asked.add_metric([name, model, "hit"], cache.hits)
            asked.add_metric([name, model, "miss"], cache.misses)
    for index, opened in indexes.items():
        entries.add_metric(["queries", index], len(opened.asked))
        asked.add_metric(["queries", index, "hit"], opened.asked.hits)
        asked.add_metric(["queries", index, "miss"], opened.asked.misses)
    yield from (size, limit, entries, asked)


def _indexes(indexes: Mapping[str, Index]) -> Iterator[Metric]:
    up = GaugeMetricFamily("clickwise_index_up", "1 where an index can be read.", labels=["index"])
    documents = GaugeMetricFamily("clickwise_index_documents", "Documents of an index.", labels=["index"])
    generation = GaugeMetricFamily(
        "clickwise_index_generation", "The generation that is served.", labels=["index", "generation"]
    )
    for name, index in indexes.items():
        try:
            view = index.view()
        except ClickwiseError:  # the other metrics are needed all the more
            up.add_metric([name], 0)
            continue
        up.add_metric([name], 1)
        documents.add_metric([name], view.documents)
        generation.add_metric([name, view.generation], 1)
    yield from (up, documents, generation)


def _store(service: Service) -> Iterator[Metric]:
    writes = service.store.writes
    outcomes = CounterMetricFamily(
        "clickwise_store_writes", "Transactions that are durable, or failed.", labels=["outcome"]
    )
    outcomes.add_metric(["done"], writes.done)
    outcomes.add_metric(["failed"], writes.failed)
    yield outcomes
    yield CounterMetricFamily(
        "clickwise_store_write_seconds", "Time that they took, waiting for their turn included.", value=writes.seconds
    )


def _releases(service: Service) -> Metric:
    family = GaugeMetricFamily(
        "clickwise_release", "What was released, by the share of sessions it serves.", labels=["kind", "name", "target"]
    )
    for release in service.releases.current():
        family.add_metric([release.kind, release.name, release.target], release.share)
    return family

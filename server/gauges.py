"""What has a current value: queues, caches, engines, indexes and the JVM, read when Prometheus asks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from index.distribution import Computed, Distribution
from index.encoder import Counting
from index.errors import ClickwiseError
from index.java import heap
from server.jobs.queue import Backlog, Queue

if TYPE_CHECKING:
    from index.index import Index
    from ranking.learning.engine import Engine
    from server.door import House
    from server.service import Service


class Gauges(Collector):
    """Reads them off a house. Nothing in here waits for a lock that is held for long or the disk, and for the store no
    longer than `server.jobs.waiting` does."""

    def __init__(self, house: House) -> None:
        self._house = house

    def describe(self) -> Iterable[Metric]:
        return ()  # else the registry would collect once to learn the names

    def collect(self) -> Iterator[Metric]:
        yield from self._workers()
        yield from _java()
        engines, service = _engines(), self._house.service
        indexes = service.catalog.indexes if service else {}
        yield from _models(engines)
        yield from _encoders(indexes)
        yield from _caches(engines, indexes)
        if service is not None:
            yield from _indexes(indexes)
            yield from _store(service)
            yield _releases(service)
            if (backlog := self._house.backlog.read(Queue(service.store))) is not None:
                yield from _jobs(backlog)

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
    for model, engine in engines.items():
        queue.add_metric([model], engine.waiting_tokens)
    yield queue
    yield from _batches("model", ["model"], {(model,): engine.computed for model, engine in engines.items()})


def _encoders(indexes: Mapping[str, Index]) -> Iterator[Metric]:
    computed: dict[tuple[str, ...], Computed] = {
        (name, encoder.name): encoder.computed
        for name, index in indexes.items()
        for encoder in index.encoders()
        if isinstance(encoder, Counting)
    }
    yield from _batches("encoder", ["index", "model"], computed)


def _batches(kind: str, labels: Sequence[str], of: Mapping[tuple[str, ...], Computed]) -> Iterator[Metric]:
    """What models of one kind have computed, by the values of their labels."""

    def family(what: str, says: str) -> HistogramMetricFamily:
        return HistogramMetricFamily(f"clickwise_{kind}_batch_{what}", says, labels=labels)

    texts, tokens = family("texts", "Texts of a batch computed."), family("tokens", "Tokens of a batch.")
    seconds = family("duration_seconds", "Of one core, a batch.")
    for values, computed in of.items():
        _add(texts, values, computed.texts)
        _add(tokens, values, computed.tokens)
        _add(seconds, values, computed.seconds)
    yield from (texts, tokens, seconds)


def _add(family: HistogramMetricFamily, labels: Sequence[str], seen: Distribution) -> None:
    counts, total = seen.read()
    bounds = [*(str(float(bound)) for bound in seen.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, counts, strict=True)), total)


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
    writes, commits = service.store.writes, service.store.database.commits
    took = HistogramMetricFamily(
        "clickwise_store_write_duration_seconds",
        "Transactions that are durable (done), or failed; waiting for their turn included.",
        labels=["outcome"],
    )
    _add(took, ["done"], writes.done)
    _add(took, ["failed"], writes.failed)
    yield took
    if commits is not None:
        shared = HistogramMetricFamily("clickwise_store_commit_writes", "Transactions that shared a commit.", labels=[])
        _add(shared, [], commits)
        yield shared


def _jobs(waiting: Backlog) -> Iterator[Metric]:
    count = GaugeMetricFamily("clickwise_jobs", "Jobs of the queue.", labels=["state"])
    age = GaugeMetricFamily(
        "clickwise_jobs_oldest_seconds",
        "How long ago the oldest was asked for (queued) or begun (running).",
        labels=["state"],
    )
    for state, (jobs, seconds) in waiting.items():
        count.add_metric([state], jobs)
        age.add_metric([state], seconds)
    yield from (count, age)


def _releases(service: Service) -> Metric:
    family = GaugeMetricFamily(
        "clickwise_release", "What was released, by the share of sessions it serves.", labels=["kind", "name", "target"]
    )
    for release in service.releases.current():
        family.add_metric([release.kind, release.name, release.target], release.share)
    return family

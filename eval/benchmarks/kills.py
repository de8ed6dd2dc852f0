"""SIGKILL at random moments: whatever was acknowledged is there afterwards, exactly once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from eval.benchmarks.timing import say
from index.index import Index

CLIENTS = 4


@dataclass(slots=True)
class Acknowledged:
    """What the service has promised to keep: keys of events, ids of documents, and ids of queries."""

    events: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    queries: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Toll:
    """What became of it."""

    kills: int
    acknowledged: int
    lost: int
    duplicated: int


@contextmanager
def serving(
    home: Path, store_url: str | None = None, **settings: object
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server on a free loopback port, ready, with its address; killed at the end if it still runs."""
    command = [str(Path(sys.executable).parent / "clickwise"), "serve", "--home", str(home), "--port", "0", "--json"]
    given = {f"CLICKWISE_{name.upper()}": str(value) for name, value in settings.items()}
    if store_url:
        given["CLICKWISE_STORE_URL"] = store_url
    environment = {**os.environ, "CLICKWISE_LOG_LEVEL": "error", **given}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the server did not start")
            yield json.loads(line)["url"].rstrip("/"), process
        finally:
            process.kill()


def kill_often(home: Path, words: list[str], kills: int, store_url: str | None, seed: int = 1) -> Toll:
    """Start the service, load it, kill it, and start again; count at the end what is missing or there twice.

    What was under way is sent again under its key after the next start, as a client would do it.
    """
    chance, promised, pending = random.Random(seed), Acknowledged(), Counter[str]()
    for number in range(kills):
        with serving(home, store_url) as (url, process):
            stop = threading.Event()
            clients = [
                threading.Thread(target=_client, args=(url, words, f"{seed}-{number}-{n}", promised, pending, stop))
                for n in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            time.sleep(chance.uniform(0.1, 3.0))
            process.kill()
            process.wait()
            stop.set()
            for client in clients:
                client.join()
        say(
            f"kill {number + 1} of {kills}: {len(promised.events)} events, {len(promised.documents)} documents promised"
        )
    with serving(home, store_url):  # what a start has to mend is mended
        pass
    return _toll(kills, promised, _kept_events(home, store_url), _kept_documents(home))


def _client(
    url: str, words: list[str], name: str, promised: Acknowledged, pending: Counter[str], stop: threading.Event
) -> None:
    """Ask, click and write one after the other until the service is gone. Notes only what was acknowledged."""
    chance = random.Random(name)
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as http, suppress(httpx.TransportError):
        for key, body in [json.loads(item) for item in list(pending)][:5]:
            if http.post("/v1/feedback", json=body).status_code in (200, 201):
                promised.events.add(key)
                pending.pop(json.dumps([key, body]), None)
        number = 0
        while not stop.is_set():
            number += 1
            found = http.post("/v1/search", json={"query": " ".join(chance.sample(words, 3))})
            if found.status_code != 200 or not found.json()["hits"]:
                continue
            promised.queries.add(found.json()["query_id"])
            key, document = f"event-{name}-{number}", f"doc-{name}-{number}"
            body = {
                "query_id": found.json()["query_id"],
                "document": found.json()["hits"][0]["id"],
                "kind": "click",
                "idempotency_key": key,
            }
            pending[json.dumps([key, body])] += 1
            if http.post("/v1/feedback", json=body).status_code == 201:
                promised.events.add(key)
            pending.pop(json.dumps([key, body]), None)
            if number % 3 == 0:
                written = http.put(f"/v1/documents/{document}", json={"title": document, "text": "kept"})
                if written.status_code in (200, 201):
                    promised.documents.add(document)


def _toll(kills: int, promised: Acknowledged, events: Counter[str], documents: Counter[str]) -> Toll:
    both = ((promised.events | promised.queries, events), (promised.documents, documents))
    lost = sum(1 for wanted, kept in both for key in wanted if not kept[key])
    duplicated = sum(1 for _, kept in both for count in kept.values() if count > 1)
    acknowledged = sum(len(wanted) for wanted, _ in both)
    return Toll(kills, acknowledged, lost, duplicated)


def _kept_events(home: Path, store_url: str | None) -> Counter[str]:
    """How often the store holds each idempotency key, and each query."""
    from sqlalchemy import create_engine, text

    address = store_url or f"sqlite:///{home / 'store.db'}"
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        keys = connection.execute(text("SELECT idempotency_key FROM events WHERE idempotency_key IS NOT NULL"))
        kept = Counter(keys.scalars())
        kept.update(connection.execute(text("SELECT query_id FROM queries")).scalars())
    engine.dispose()
    return kept


def _kept_documents(home: Path) -> Counter[str]:
    """How many living documents of the index have each id."""
    (path,) = (home / "indexes").iterdir()
    return Counter(Index.open(path).view().lexical.live_ids())

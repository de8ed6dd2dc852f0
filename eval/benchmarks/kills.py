"""SIGKILL at random moments: whatever was acknowledged is there afterwards, exactly once; what was removed is not."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx

from eval.benchmarks.timing import say
from index.index import Index

CLIENTS: Final = 4
LONGEST: Final = 5.0
"""Seconds from the first acknowledged request of a life to its end, at most."""
PATIENCE: Final = 300.0
"""Seconds until the first request has to be acknowledged."""
AGAIN: Final = (429, 503)
"""What wants to be asked again."""

Item: TypeAlias = tuple[str, ...]
"""("query", id), ("event", id of the query, document) or ("document", id)."""


@dataclass(frozen=True, slots=True)
class Write:
    """A request that may be sent again: once it is acknowledged `adds` are there, and `removes` are not."""

    method: str
    path: str
    body: str = ""
    adds: frozenset[Item] = frozenset()
    removes: frozenset[Item] = frozenset()


@dataclass(frozen=True, slots=True)
class Toll:
    """What became of it. `lost` counts what is not as it was promised: missing, or still there."""

    kills: int
    acknowledged: int
    lost: int
    duplicated: int


class TurnedAway(Exception):
    """The service has no time for a question."""


class Client:
    """One who asks, clicks, writes and erases, through many lives of the service.

    `kept` and `gone` are what it was promised to be there, and not to be. What was under way when the service died is
    `pending`: it may have been done or not, and is sent again as it was.
    """

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.kept: set[Item] = set()
        self.gone: set[Item] = set()
        self.pending: list[Write] = []
        self._name, self._words = name, words
        self._chance, self._numbers = random.Random(name), count(1)

    def work(self, url: str, acknowledged: threading.Event, stop: threading.Event) -> None:
        """Act until the service is gone."""
        acts: list[Callable[[httpx.Client], None]] = [self._click] * 5
        acts += [self._put, self._put, self._bulk, self._delete, self._insights, self._insights, self._erase]
        with _talking(url) as http, suppress(httpx.TransportError):
            self._again(http)
            while not stop.is_set():
                with suppress(TurnedAway):
                    self._chance.choice(acts)(http)
                    acknowledged.set()

    def settle(self, url: str) -> None:
        """Send again what is pending. Raises httpx.TransportError where the service is gone."""
        with _talking(url) as http:
            self._again(http)

    def _again(self, http: httpx.Client) -> None:
        for write in list(self.pending):
            self._send(http, write)

    def _send(self, http: httpx.Client, write: Write) -> None:
        self.kept -= write.removes  # from here on nobody knows, until it is acknowledged
        if write not in self.pending:
            self.pending.append(write)
        answer = http.request(write.method, write.path, content=write.body)
        if answer.status_code not in AGAIN:
            self.pending.remove(write)
        if _is_done(write, answer):
            self.kept |= write.adds
            self.gone |= write.removes

    def _asked(self, http: httpx.Client) -> tuple[str, str, str]:
        """The id of a new query, its best document, and the session that asked."""
        session = self._named("session")
        words = " ".join(self._chance.sample(self._words, 3))
        answer = http.post("/v1/search", json={"query": words, "session_id": session})
        if answer.status_code in AGAIN:
            raise TurnedAway
        found = answer.raise_for_status().json()
        self.kept.add(("query", found["query_id"]))
        return found["query_id"], found["hits"][0]["id"] if found["hits"] else "d0", session

    def _click(self, http: httpx.Client) -> None:
        self._clicked(http)

    def _clicked(self, http: httpx.Client) -> tuple[frozenset[Item], str]:
        """All that there is of a new query with a click, and the session that it is of."""
        query_id, document, session = self._asked(http)
        told = {"query_id": query_id, "document": document, "kind": "click", "idempotency_key": self._named("click")}
        event = ("event", query_id, document)
        self._send(http, Write("POST", "/v1/feedback", json.dumps(told), frozenset({event})))
        return frozenset({("query", query_id), event}), session

    def _erase(self, http: httpx.Client) -> None:
        items, session = self._clicked(http)
        self._send(http, Write("DELETE", f"/v1/people/{session}", removes=items))

    def _put(self, http: httpx.Client) -> None:
        name = self._named("document")
        body = json.dumps({"title": name, "text": "kept"})
        self._send(http, Write("PUT", f"/v1/documents/{name}", body, frozenset({("document", name)})))

    def _bulk(self, http: httpx.Client) -> None:
        names = [self._named("document") for _ in range(5)]
        lines = "\n".join(json.dumps({"id": name, "text": "kept"}) for name in names)
        items = frozenset(("document", name) for name in names)
        self._send(http, Write("POST", "/v1/documents:bulk", lines, items))

    def _delete(self, http: httpx.Client) -> None:
        mine = sorted(item for item in self.kept if item[0] == "document")
        if mine:
            item = self._chance.choice(mine)
            self._send(http, Write("DELETE", f"/v1/documents/{item[1]}", removes=frozenset({item})))

    def _insights(self, http: httpx.Client) -> None:
        """Queries as another service has answered them, and their clicks, each in one body."""
        ids = [self._named("query") for _ in range(3)]
        shown = ["d0", "d1", "d2"]
        queries = [{"query_id": name, "user_query": "made", "query_response_hit_ids": shown} for name in ids]
        clicks = [
            {"action_name": "click", "query_id": name, "event_attributes": {"object": {"object_id": "d1"}}}
            for name in ids
        ]
        asked = frozenset(("query", name) for name in ids)
        self._send(http, Write("POST", "/ubi/queries", json.dumps(queries), asked))
        if asked <= self.kept:
            clicked = frozenset(("event", name, "d1") for name in ids)
            self._send(http, Write("POST", "/ubi/events", json.dumps(clicks), clicked))

    def _named(self, kind: str) -> str:
        return f"{kind}-{self._name}-{next(self._numbers)}"


def _talking(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, trust_env=False)


def _is_done(write: Write, answer: httpx.Response) -> bool:
    if write.removes and answer.status_code == 404:
        return True  # it was done when it was sent before
    return answer.is_success and not (answer.content and answer.json().get("rejected"))


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


def kill_often(home: Path, words: Sequence[str], kills: int, store_url: str | None, seed: int = 1) -> Toll:
    """Start the service, load it, kill it at a random moment after it has acknowledged something, and start again.

    Counts at the end what is not as it was promised, or there twice.
    """
    chance = random.Random(seed)
    clients = [Client(f"{seed}-{number}", words) for number in range(CLIENTS)]
    for number in range(kills):
        with serving(home, store_url) as (url, process):
            acknowledged, stop = threading.Event(), threading.Event()
            threads = [
                threading.Thread(target=client.work, args=(url, acknowledged, stop), daemon=True) for client in clients
            ]
            for thread in threads:
                thread.start()
            begun = acknowledged.wait(PATIENCE)
            time.sleep(chance.uniform(0.0, LONGEST))
            process.kill()
            process.wait()
            stop.set()
            for thread in threads:
                thread.join()
        if not begun:
            raise RuntimeError(f"the service acknowledged nothing for {PATIENCE:.0f} s")
        promised, unknown = sum(_promises(clients).values()), sum(len(client.pending) for client in clients)
        say(f"kill {number + 1} of {kills}: {promised} promised, {unknown} under way when it came")
    with serving(home, store_url) as (url, _):  # what a start has to mend is mended
        for client in clients:
            client.settle(url)
    return toll(kills, clients, found(home, store_url))


def _promises(clients: Iterable[Client]) -> Counter[str]:
    return Counter(item[0] for client in clients for item in [*client.kept, *client.gone])


def toll(kills: int, clients: Sequence[Client], there: Mapping[Item, int]) -> Toll:
    """What the clients were promised beside what is `there`, and how often."""
    missing = {item for client in clients for item in client.kept if not there.get(item)}
    left = {item for client in clients for item in client.gone if there.get(item)}
    twice = {item for item, times in there.items() if times > 1}
    for what, items in (("missing", missing), ("still there", left), ("there more than once", twice)):
        if items:
            say(f"{what}: {sorted(items)[:10]}")
    say(f"promised: {dict(_promises(clients))}")
    return Toll(kills, sum(_promises(clients).values()), len(missing) + len(left), len(twice))


def found(home: Path, store_url: str | None) -> Counter[Item]:
    """How often the store holds each query and each click, and the index each document."""
    from sqlalchemy import create_engine, text

    address = store_url or f"sqlite:///{home / 'store.db'}"
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    there: Counter[Item] = Counter()
    with engine.connect() as connection:
        rows: Any = connection.execute(text("SELECT query_id FROM queries")).scalars()
        there.update(("query", query_id) for query_id in rows)
        rows = connection.execute(text("SELECT query_id, document FROM events WHERE kind = 'click'"))
        there.update(("event", *row) for row in rows)
    engine.dispose()
    (path,) = (home / "indexes").iterdir()
    there.update(("document", name) for name in Index.open(path).view().lexical.live_ids())
    return there

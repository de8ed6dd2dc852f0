"""Load on a service: clients that ask, click and write, as many or as fast as wished, and what they saw."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
import numpy as np

from eval.benchmarks.wire import BROKEN, Answered, Wire

Act: TypeAlias = Callable[[Wire], Awaitable[Answered]]
_LONGEST = 60.0  # seconds that a client waits at most


@dataclass(slots=True)
class Seen:
    """What the clients saw: for every answer when it was sent off, how long it took (both in seconds) and its status;
    0 where there was none."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)

    def note(self, start: float, status: int) -> None:
        self.answers.append((start, time.perf_counter() - start, status))

    @property
    def statuses(self) -> Counter[int]:
        return Counter(status for _, _, status in self.answers)

    @property
    def failures(self) -> int:
        """Answers of 5xx, and requests without any."""
        return sum(count for status, count in self.statuses.items() if status == 0 or status >= 500)

    def p(self, percent: float, begin: float = 0.0, end: float = float("inf")) -> float:
        """A percentile of the seconds of the good answers to what was sent off in a span of time; 0 without any."""
        taken = [took for start, took, status in self.answers if 200 <= status < 300 and begin <= start < end]
        return float(np.percentile(taken, percent)) if taken else 0.0

    def good(self, within: float = float("inf")) -> int:
        """How many good answers came within so many seconds."""
        return sum(200 <= status < 300 and took <= within for _, took, status in self.answers)


class Mix:
    """What people do: mostly new questions, then clicks, rounds with what was clicked, and documents written.

    `acts` draws one after the other, always in the same order for a seed.
    """

    def __init__(self, words: list[str], seed: int = 1, writes: float = 0.05) -> None:
        self._words, self._random, self._writes = words, random.Random(seed), writes
        self._asked: list[tuple[str, str]] = []  # query ids, each with a document to click on
        self._numbers = itertools.count()

    def acts(self) -> Iterator[Act]:
        while True:
            kind = self._random.random()
            if kind < self._writes:
                yield self.write(f"written-{next(self._numbers) % 500}")
            elif kind < 0.25 and self._asked:
                yield self.click(*self._random.choice(self._asked))
            elif kind < 0.45 and self._asked:
                yield self.again(self._random.choice(self._asked)[0])
            else:
                yield self.ask()

    def ask(self) -> Act:
        text = " ".join(self._random.sample(self._words, 3))

        async def act(client: Wire) -> Answered:
            answer = await client.post("/v1/search", json={"query": text})
            if answer.status_code == 200 and (hits := answer.json()["hits"]):
                self._asked.append((answer.json()["query_id"], hits[min(2, len(hits) - 1)]["id"]))
                del self._asked[:-200]
            return answer

        return act

    def again(self, query_id: str) -> Act:
        return lambda client: client.post("/v1/search", json={"query_id": query_id})

    def click(self, query_id: str, document: str, key: str | None = None) -> Act:
        body = {"query_id": query_id, "document": document, "kind": "click", "idempotency_key": key}
        return lambda client: client.post("/v1/feedback", json=body)

    def write(self, document: str) -> Act:
        text = " ".join(self._random.sample(self._words, 12))
        return lambda client: client.put(f"/v1/documents/{document}", json={"title": document, "text": text})


@contextmanager
def client_of(url: str) -> Iterator[Wire]:
    """A client with as many connections as it takes."""
    with closing(Wire(url, _LONGEST)) as client:
        yield client


async def closed(url: str, mix: Mix, clients: int, seconds: float) -> Seen:
    """So many clients, each of which sends its next request when it has its answer."""
    seen, acts, end = Seen(), mix.acts(), time.perf_counter() + seconds

    async def one(client: Wire) -> None:
        while time.perf_counter() < end:
            await _done(client, next(acts), seen)

    with client_of(url) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))
    return seen


async def paced(url: str, mix: Mix, rate: float, seconds: float, most: int = 2_000) -> Seen:
    """So many requests a second, evenly, whether answers come or not; at most `most` are open at a time."""
    seen, acts = Seen(), mix.acts()
    start, running = time.perf_counter(), set[asyncio.Task[None]]()
    with client_of(url) as client:
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            if len(running) < most:
                task = asyncio.create_task(_done(client, next(acts), seen))
                running.add(task)
                task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    return seen


async def _done(client: Wire, act: Act, seen: Seen) -> None:
    start = time.perf_counter()
    try:
        seen.note(start, (await act(client)).status_code)
    except BROKEN:
        seen.note(start, 0)


def answered(url: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Milliseconds of one search by a client of its own, and the answer."""
    with httpx.Client(base_url=url, timeout=_LONGEST, trust_env=False) as client:
        return posted(client, body)


def posted(client: httpx.Client, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Milliseconds of one search, and the answer."""
    start = time.perf_counter()
    answer = client.post("/v1/search", json=body)
    took = 1000 * (time.perf_counter() - start)
    found: dict[str, Any] = answer.raise_for_status().json()
    return took, found


async def timed(client: Wire, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """The same by a client that costs less."""
    start = time.perf_counter()
    answer = await client.post("/v1/search", json=body)
    took = 1000 * (time.perf_counter() - start)
    assert answer.status_code == 200, answer.body
    found: dict[str, Any] = answer.json()
    return took, found

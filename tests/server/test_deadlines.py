"""Deadlines: the cheaper ranking when time is short, nothing at all when there is none, and clients that have gone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy import func, select
from starlette.requests import ClientDisconnect

from index.index import Index
from index.types import Ranking
from ranking.config import load_specs
from ranking.context import Context
from ranking.contract import Request
from ranking.pipeline import Stage
from server.app import create_app
from server.patience import LateError, Patience
from server.schemas import SearchRequest
from server.service import Service
from server.store.tables import queries
from tests.server.conftest import MakeService, client_of


@dataclass(frozen=True)
class TakesAllTheTime:
    """A stage after which the deadline is over, whatever it was."""

    needs_vectors: ClassVar[bool] = False
    depth: int = 1000

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        context.deadline = 0.0
        return [request.candidates or Ranking.empty() for request in requests]


def slow(service: Service) -> Service:
    """`slow` is `fused` with a stage after the first that takes all the time."""
    spec = load_specs()["fused"]
    slow = Stage("slow", "slow", TakesAllTheTime(), spec.stages[:1])  # type: ignore[arg-type]
    service.catalog.specs["slow"] = replace(spec, name="slow", stages=(spec.stages[0], slow, *spec.stages[1:]))
    return service


@pytest.fixture
def own_slow(make_service: MakeService, dense_index: Index) -> Service:
    return slow(make_service({"dense": dense_index}))


def asked(service: Service) -> int:
    with service.store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(queries)).scalar_one())


def test_with_time_enough_nothing_changes(own_slow: Service) -> None:
    plain = own_slow.search(SearchRequest(query="espresso and a boat", pipeline="fused"))
    timed = own_slow.search(SearchRequest(query="espresso and a boat", pipeline="fused", deadline_ms=3_600_000))
    assert timed.degraded is None
    assert [(hit.id, hit.score) for hit in timed.hits] == [(hit.id, hit.score) for hit in plain.hits]


def test_when_time_is_over_the_cheaper_ranking_stands(own_slow: Service) -> None:
    words = own_slow.search(SearchRequest(query="espresso and a boat", pipeline="bm25-qe"))
    cut = own_slow.search(SearchRequest(query="espresso and a boat", pipeline="slow", explain=True))
    assert cut.degraded == "deadline"
    assert [hit.id for hit in cut.hits] == [hit.id for hit in words.hits]
    assert own_slow.store.round(cut.query_id) is not None


def test_a_request_whose_time_is_over_is_refused_and_not_recorded(own_slow: Service) -> None:
    late = Patience(time.perf_counter() - 1.0, 0.5)
    with pytest.raises(LateError, match="500 ms"):
        own_slow.search(SearchRequest(query="espresso"), late)
    assert asked(own_slow) == 0


def test_the_setting_bounds_what_clients_wish() -> None:
    assert Patience.of(None, 2_000).seconds == Patience.of(90_000, 2_000).seconds == 2.0
    assert Patience.of(500, 2_000).seconds == 0.5
    patience = Patience.of(1_000, 2_000, arrived=10.0)
    assert 10.0 < patience.ranking_ends < 11.0


def test_waiting_counts_and_late_ones_are_told_when_to_come_again(
    make_service: MakeService, dense_index: Index
) -> None:
    service = make_service({"dense": dense_index}, threads=1)
    with client_of(service) as client:
        app: Any = client.app
        held, go = threading.Event(), threading.Event()
        app.state.house.workers.begin(lambda: (held.set(), go.wait(30)))
        held.wait(30)
        answers: list[httpx.Response] = []
        waiting = threading.Thread(
            target=lambda: answers.append(client.post("/v1/search", json={"query": "espresso", "deadline_ms": 1}))
        )
        waiting.start()
        while not app.state.house.workers.inside:
            time.sleep(0.001)
        arrived = time.perf_counter()
        while time.perf_counter() < arrived + 0.002:
            time.sleep(0.001)
        go.set()
        waiting.join(30)
    (answer,) = answers
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:clickwise:problem:late")
    assert int(answer.headers["Retry-After"]) >= 1
    assert asked(service) == 0


@pytest.mark.parametrize("deadline", [0, -1, "1", 1.5, True])
def test_a_deadline_that_is_none_is_refused(own_slow: Service, deadline: object) -> None:
    with client_of(own_slow) as client:
        answer = client.post("/v1/search", json={"query": "espresso", "deadline_ms": deadline})
        assert (answer.status_code, answer.json()["field"]) == (422, "deadline_ms")


def test_who_has_gone_is_shown_nothing(own_slow: Service) -> None:
    patience = Patience.of(None, 10_000)
    patience.end()
    with pytest.raises(ClientDisconnect):
        own_slow.search(SearchRequest(query="espresso"), patience)
    assert asked(own_slow) == 0


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_away_leaves_nothing_behind(
    make_service: MakeService, dense_index: Index, begun: bool
) -> None:
    """Waiting for a thread, or while its documents are ranked: no query is recorded, and the place is free again."""
    service = make_service({"dense": dense_index}, threads=1)
    app = create_app(service.settings)
    app.state.house.service = service
    workers = app.state.house.workers
    ranking, go, gone = threading.Event(), threading.Event(), asyncio.Event()
    if begun:
        before = service.catalog.pipeline

        def held(*args: Any) -> Any:
            ranking.set()
            assert go.wait(30)
            return before(*args)

        service.catalog.pipeline = held  # type: ignore[method-assign]

    async def main() -> None:
        if not begun:
            workers.begin(go.wait, 30)
            ranking.set()
        body = [{"type": "http.request", "body": b'{"query": "espresso"}', "more_body": False}]

        async def receive() -> Any:
            if body:
                return body.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            raise AssertionError(f"nobody is there for {message}")

        scope = {
            "type": "http", "method": "POST", "path": "/v1/search", "raw_path": b"/v1/search", "query_string": b"",
            "headers": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "scheme": "http",
            "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        request = asyncio.ensure_future(app(scope, receive, send))
        while not (workers.inside and ranking.is_set()):
            await asyncio.sleep(0.001)
        gone.set()
        await asyncio.wait_for(request, 30)
        go.set()
        assert await workers.run(lambda: True)

    asyncio.run(main())
    workers.close()
    assert workers.inside == 0
    assert asked(service) == 0

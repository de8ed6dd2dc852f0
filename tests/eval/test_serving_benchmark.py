"""What the benchmark of the service counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from eval.benchmarks.kills import Client, Item, Toll, kill_often, toll
from eval.benchmarks.load import Mix, Seen, timed
from eval.benchmarks.serving import until
from eval.benchmarks.wire import Wire
from index.index import Index
from tests.server.conftest import listening, make_service_at

WORDS = ("espresso", "beans", "boat", "keel", "star", "dose")


def test_only_good_answers_count_and_only_in_time() -> None:
    seen = Seen([(0.0, 0.1, 200), (1.0, 0.2, 201), (2.0, 5.0, 200), (3.0, 0.0, 429), (4.0, 0.1, 500), (5.0, 0.1, 0)])
    assert (seen.good(), seen.good(within=1.0), seen.failures) == (3, 2, 2)
    assert seen.statuses == {200: 2, 201: 1, 429: 1, 500: 1, 0: 1}
    assert (seen.p(50), seen.p(100, begin=1.0, end=2.0), seen.p(50, begin=9.0)) == (0.2, 0.2, 0.0)


def test_what_is_missing_what_is_left_and_what_is_there_twice() -> None:
    first, second = Client("first", WORDS), Client("second", WORDS)
    first.kept = {("query", "q1"), ("event", "q1", "d1")}
    second.kept, second.gone = {("document", "d2")}, {("document", "d3"), ("query", "q2")}
    there = Counter[Item]([("query", "q1"), ("event", "q1", "d1"), ("document", "d2"), ("query", "unacknowledged")])
    assert toll(1, [first, second], there) == Toll(1, acknowledged=5, lost=0, duplicated=0)
    there.update([("event", "q1", "d1"), ("query", "q2")])
    del there["document", "d2"]
    assert toll(1, [first, second], there) == Toll(1, acknowledged=5, lost=2, duplicated=1)


def test_what_was_under_way_is_sent_again_and_counts_once(new_index: Callable[..., Index], tmp_path: Path) -> None:
    service = make_service_at(tmp_path / "home", {"own": new_index(vectors=False)})
    client = Client("one", WORDS)
    acts = {
        "POST /v1/feedback": client._click,
        "PUT /v1/documents/": client._put,
        "POST /v1/documents:bulk": client._bulk,
        "POST /ubi/queries": client._insights,
        "POST /ubi/events": client._insights,
        "DELETE /v1/people/": client._erase,
        "DELETE /v1/documents/": client._delete,
    }
    with listening(service) as url:
        for what, act in acts.items():
            with (
                httpx.Client(base_url=url, transport=_Dying(what), timeout=300) as http,
                pytest.raises(httpx.ReadError),
            ):
                act(http)
            assert len(client.pending) == 1
            client.settle(url)
            assert not client.pending
    assert {item[0] for item in client.kept} == {item[0] for item in client.gone} == {"query", "event", "document"}
    with service.store.reading() as connection:
        rows = connection.exec_driver_sql("SELECT query_id, document FROM events").all()
        asked = connection.exec_driver_sql("SELECT query_id FROM queries").scalars().all()
    events = [("event", *row) for row in rows]
    documents = [("document", name) for name in service.catalog.index(None)[1].view().lexical.live_ids()]
    there = {*events, *documents, *(("query", name) for name in asked)}
    assert len(set(events)) == len(events)
    assert client.kept <= there
    assert not client.gone & there
    service.close()


class _Dying(httpx.HTTPTransport):
    """A connection that breaks when a request of this kind has been done, and before its answer has come."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if f"{request.method} {request.url.path}".startswith(self._what):
            answer.read()
            raise httpx.ReadError("the service died")
        return answer


@pytest.mark.kill
def test_a_service_that_is_killed_keeps_its_promises(new_index: Callable[..., Index], tmp_path: Path) -> None:
    new_index(vectors=False, name="home/indexes/made")
    seen = kill_often(tmp_path / "home", WORDS, 2, None)
    assert (seen.kills, seen.lost, seen.duplicated) == (2, 0, 0)
    assert seen.acknowledged > 0


def test_recovery_is_waited_for_within_bounds() -> None:
    looks = iter([False, False, True])
    assert until(lambda: next(looks), 60.0) < 60.0
    assert until(lambda: False, 0.0) == 0.0


def test_a_mix_is_the_same_for_a_seed() -> None:
    words = [letter * 3 for letter in "abcdefghijklmn"]
    first, second = (Mix(words, seed=3) for _ in range(2))
    for _, one, other in zip(range(20), first.acts(), second.acts(), strict=False):
        assert one.__qualname__ == other.__qualname__


def test_a_connection_that_the_service_has_closed_while_it_was_idle_is_not_used_again() -> None:
    opened: list[asyncio.StreamWriter] = []

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"hits":[]}')
        except asyncio.IncompleteReadError:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(service, "127.0.0.1", 0)
        client = Wire(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 30.0)
        for _ in range(2):
            _, answer = await timed(client, {"query": "a"})
            assert answer == {"hits": []}
        assert len(opened) == 1  # it was kept
        opened[0].close()
        await opened[0].wait_closed()
        [(kept, _)] = client._idle
        assert await kept.read() == b""  # the news of it has come
        await timed(client, {"query": "a"})
        assert len(opened) == 2
        client.close()
        await opened[1].wait_closed()
        server.close()

    asyncio.run(main())

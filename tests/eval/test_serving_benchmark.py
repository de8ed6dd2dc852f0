"""What the benchmark of the service counts."""

from __future__ import annotations

import asyncio
from collections import Counter

from eval.benchmarks.kills import Acknowledged, _toll
from eval.benchmarks.load import Mix, Seen, timed
from eval.benchmarks.serving import until
from eval.benchmarks.wire import Wire


def test_only_good_answers_count_and_only_in_time() -> None:
    seen = Seen([(0.0, 0.1, 200), (1.0, 0.2, 201), (2.0, 5.0, 200), (3.0, 0.0, 429), (4.0, 0.1, 500), (5.0, 0.1, 0)])
    assert (seen.good(), seen.good(within=1.0), seen.failures) == (3, 2, 2)
    assert seen.statuses == {200: 2, 201: 1, 429: 1, 500: 1, 0: 1}
    assert (seen.p(50), seen.p(100, begin=1.0, end=2.0), seen.p(50, begin=9.0)) == (0.2, 0.2, 0.0)


def test_what_is_missing_and_what_is_there_twice() -> None:
    promised = Acknowledged(events={"e1", "e2"}, documents={"d1"}, queries={"q1"})
    everything = _toll(1, promised, Counter(["e1", "e2", "q1", "unacknowledged"]), Counter(["d1", "d2"]))
    assert (everything.acknowledged, everything.lost, everything.duplicated) == (4, 0, 0)
    broken = _toll(1, promised, Counter(["e1", "e1", "q1"]), Counter(["d2"]))
    assert (broken.lost, broken.duplicated) == (2, 1)


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

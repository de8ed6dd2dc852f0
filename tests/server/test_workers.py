"""The threads that do the blocking work."""

from __future__ import annotations

import asyncio
import threading

import pytest

from server.problems import BusyError
from server.workers import Workers


def test_results_and_errors_come_back() -> None:
    async def main() -> None:
        workers = Workers(2, 0)
        assert await workers.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 7, 0)
        workers.close()

    asyncio.run(main())


def test_the_queue_is_bounded_and_empties() -> None:
    async def main() -> None:
        workers, gate = Workers(1, 1), threading.Event()
        first, second = (asyncio.ensure_future(workers.run(gate.wait, 30)) for _ in range(2))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await workers.run(gate.is_set)
        gate.set()
        assert await first
        assert await second
        assert await workers.run(gate.is_set)
        workers.close()

    asyncio.run(main())


def test_those_turned_away_are_told_when_the_others_will_be_done() -> None:
    async def main() -> None:
        workers, gate = Workers(2, 2), threading.Event()
        workers._seconds = 3.0  # what the last ones took
        waiting = [asyncio.ensure_future(workers.run(gate.wait, 30)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as refused:
            workers.check_room()
        assert refused.value.retry_after == pytest.approx(6.0)
        gate.set()
        await asyncio.gather(*waiting)
        workers.check_room()
        assert 0 < workers._seconds < 3.0
        workers.close()

    asyncio.run(main())


def test_work_of_a_client_that_has_gone_is_dropped_and_its_place_is_free() -> None:
    async def main() -> None:
        workers, gate, done = Workers(1, 1), threading.Event(), threading.Event()
        running = asyncio.ensure_future(workers.run(gate.wait, 30))
        waiting = asyncio.ensure_future(workers.run(done.set))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        after = asyncio.ensure_future(workers.run(gate.is_set))
        await asyncio.sleep(0)
        gate.set()
        assert await running
        assert await after
        assert not done.is_set()
        workers.close()

    asyncio.run(main())

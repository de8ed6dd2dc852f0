"""The threads that do the blocking work, so that the event loop never waits for Java, torch or the disk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

from server.problems import BusyError

P = ParamSpec("P")
R = TypeVar("R")


_SMOOTHING: Final = 0.05  # the last twenty requests count most


class Workers:
    """A fixed set of threads and a queue of bounded length.

    The threads live as long as the service: Java attaches every thread that calls it and never lets go of one that
    has ended.
    """

    def __init__(self, threads: int, max_waiting: int, name: str = "clickwise") -> None:
        self.threads, self.room = threads, threads + max_waiting
        self.inside = 0  # requests that are worked on or wait
        self._seconds = 0.0  # what one takes, smoothed
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._counting = threading.Lock()

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of `work`, done by a thread. Raises BusyError where too many requests wait already.

        Work that has not begun when its client goes away is dropped. It runs in the context of its caller: the id of
        the request and its span go along.
        """
        with self._counting:
            self.check_room()
            self.inside += 1
        future = self._pool.submit(copy_context().run, self._timed, partial(work, *args, **kwargs))
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def check_room(self) -> None:
        """Raises BusyError where `run` would; it says when those who wait now will be done."""
        if self.inside >= self.room:
            wait = self.inside / self.threads * self._seconds
            raise BusyError("Too many requests are waiting.", "Try again in a moment.", retry_after=wait)

    @property
    def expected_wait(self) -> float:
        """For how many seconds the next request would wait for a thread, going by what work has taken lately."""
        return self._seconds * max(0, self.inside - self.threads + 1) / self.threads

    def admit(self, seconds: float) -> None:
        """Raises BusyError where there is no room, or where a request that can wait for so many seconds would wait for
        longer: told at once, it takes nobody's turn."""
        self.check_room()
        if (wait := self.expected_wait) > seconds:
            raise BusyError("Too many requests are waiting.", "Try again in a moment.", retry_after=wait)

    def begin(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have work done that no request waits for; it must see to its errors itself."""
        self._pool.submit(work, *args, **kwargs)

    def close(self) -> None:
        """Finish what is being worked on, drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _timed(self, work: Callable[[], R]) -> R:
        start = time.perf_counter()
        try:
            return work()
        finally:
            with self._counting:
                self._seconds += _SMOOTHING * (time.perf_counter() - start - self._seconds)

    def _leave(self, _done: Future[R]) -> None:
        with self._counting:
            self.inside -= 1

"""The threads that do the blocking work, so that the event loop never waits for Java, torch or the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from server.problems import BusyError

P = ParamSpec("P")
R = TypeVar("R")


class Workers:
    """A fixed set of threads and a queue of bounded length.

    The threads live as long as the service: Java attaches every thread that calls it and never lets go of one that
    has ended.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self.threads, self.room = threads, threads + max_waiting
        self.inside = 0  # requests that are worked on or wait
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clickwise")
        self._counting = threading.Lock()

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of `work`, done by a thread. Raises BusyError where too many requests wait already.

        Work that has not begun when its client goes away is dropped. It runs in the context of its caller: the id of
        the request and its span go along.
        """
        with self._counting:
            if self.inside >= self.room:
                raise BusyError("Too many requests are waiting.", "Try again in a moment.")
            self.inside += 1
        future = self._pool.submit(copy_context().run, partial(work, *args, **kwargs))
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def begin(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have work done that no request waits for; it must see to its errors itself."""
        self._pool.submit(work, *args, **kwargs)

    def close(self) -> None:
        """Finish what is being worked on, drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _done: Future[R]) -> None:
        with self._counting:
            self.inside -= 1

"""The backlog of the queue, for those who watch: read when they ask, and never waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from index.errors import ClickwiseError
from server.jobs.queue import Backlog, Queue

PATIENCE_SECONDS: Final = 0.5


class Waiting:
    """Looks at a queue, at most once at a time. Thread-safe."""

    def __init__(self, submit: Callable[[Callable[[], Backlog]], Future[Backlog]]) -> None:
        """`submit` has the look taken in another thread."""
        self._submit = submit
        self._looking: Future[Backlog] | None = None
        self._lock = threading.Lock()

    def read(self, queue: Queue) -> Backlog | None:
        """None where the store does not answer at once."""
        with self._lock:
            if self._looking is None or self._looking.done():
                self._looking = self._submit(queue.backlog)
            looking = self._looking
        try:
            return looking.result(PATIENCE_SECONDS)
        except (TimeoutError, ClickwiseError):
            return None

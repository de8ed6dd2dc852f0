"""Values that take long to make and are made once: whoever asks for one that is being made waits, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """Thread-safe. What could not be made is tried again by the next who asks."""

    def __init__(self) -> None:
        self._futures: dict[K, Future[V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value, made here if nobody has begun. Raises what `make` raises, as all do who were waiting for it."""
        with self._lock:
            future = self._futures.get(key)
            mine = future is None
            if future is None:
                future = self._futures[key] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                self.forget(key)
                future.set_exception(error)
        return future.result()

    def put(self, key: K, value: V) -> None:
        """Have a value that was made elsewhere."""
        future: Future[V] = Future()
        future.set_result(value)
        with self._lock:
            self._futures[key] = future

    def forget(self, key: K) -> None:
        with self._lock:
            self._futures.pop(key, None)

    def clear(self) -> None:
        """Forget everything, also in a process just forked, where a lock may be held by a thread that is not there."""
        self._futures, self._lock = {}, threading.Lock()

    def made(self) -> dict[K, V]:
        """What there is, in the order in which it was asked for; waits for nothing."""
        with self._lock:
            done = [(key, future) for key, future in self._futures.items() if future.done()]
        return {key: future.result() for key, future in done if future.exception() is None}

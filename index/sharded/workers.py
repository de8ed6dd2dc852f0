"""Where shards live: objects that are asked by number and method, in threads, in processes or on a Ray cluster.

    threads      in this process: nothing to start, nothing to copy; one JVM and one Python for all
    processes    one process for each on this machine (spawned: a JVM must not be forked); a dead one is started again
    ray          an actor for each on a Ray cluster: the one at RAY_ADDRESS, or one started on this machine;
    ray:ADDRESS  the cluster at that address (`index.sharded.ray_workers`)

Whatever the place, a question never blocks: its answer is a Future.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

from index.errors import InputError, UnavailableError

THREADS: Final = "threads"
PROCESSES: Final = "processes"
RAY: Final = "ray"
PATIENCE: Final = 10.0
"""Seconds that one shard is waited for where nobody says otherwise."""
AT_ONCE: Final = max(2, min(4, os.cpu_count() or 1))
"""Questions that one worker works on at the same time."""
MOST_WAITING: Final = 1_000
"""Questions that may wait for one worker; it is taken for dead where there are more."""


class Workers(Protocol):
    """Objects made alike, each in a place of its own."""

    def __len__(self) -> int: ...

    def ask(self, number: int, method: str, *args: Any) -> Future[Any]:
        """Call a method of one object. The Future fails with what the method raises, or with UnavailableError."""
        ...

    def close(self) -> None:
        """End the places. What is asked from now on fails with UnavailableError."""
        ...


def start(engine: str, make: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, at_once: int) -> Workers:
    """One object `make(*args)` for each of `arguments`, in places of the kind `engine`.

    `make` and its arguments have to be picklable for every engine but threads. The objects are made when they are first
    asked; `at_once` is the number of calls that one object can take at the same time.

    Raises InputError for an engine that does not exist, UnavailableError where it is not installed or not reachable.
    """
    check_engine(engine)
    if engine == THREADS:
        return ThreadWorkers(make, arguments, at_once)
    if engine == PROCESSES:
        from index.sharded.processes import ProcessWorkers

        return ProcessWorkers(make, arguments, at_once)
    from index.sharded.ray_workers import RayWorkers

    return RayWorkers(make, arguments, at_once, engine.partition(":")[2])


def check_engine(engine: str) -> str:
    """The engine's name, if it is one."""
    if engine not in (THREADS, PROCESSES, RAY) and not engine.startswith("ray:"):
        raise InputError(f"There is no engine {engine!r} for shards.", "Use threads, processes, ray or ray:ADDRESS.")
    return engine


class ThreadWorkers:
    """Every object in this process, with threads of its own: one that hangs does not keep the others waiting."""

    def __init__(self, make: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], at_once: int) -> None:
        self._objects = [Lazy(make, args) for args in arguments]
        self._pools = [
            ThreadPoolExecutor(at_once, thread_name_prefix=f"shard-{number}") for number in range(len(arguments))
        ]
        self._waiting = [threading.Semaphore(MOST_WAITING) for _ in arguments]

    def __len__(self) -> int:
        return len(self._objects)

    def ask(self, number: int, method: str, *args: Any) -> Future[Any]:
        if not self._waiting[number].acquire(blocking=False):
            return failed(f"Shard {number} does not keep up.")
        try:
            answer = self._pools[number].submit(self._objects[number].call, method, args)
        except RuntimeError:  # the pool is shut down
            self._waiting[number].release()
            return failed(f"Shard {number} is closed.")
        answer.add_done_callback(lambda _: self._waiting[number].release())
        return answer

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)


class Lazy:
    """An object that is made when it is first asked; a failure to make it is the answer, and it is tried again."""

    def __init__(self, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._make, self._args = make, args
        self._lock = threading.Lock()
        self._made: Any = None

    def call(self, method: str, args: tuple[Any, ...]) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make(*self._args)
        return getattr(self._made, method)(*args)


def failed(reason: str) -> Future[Any]:
    """An answer that is none."""
    answer: Future[Any] = Future()
    answer.set_exception(UnavailableError(reason, "Look at its machine, or ask again."))
    return answer

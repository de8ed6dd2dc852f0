"""Workers as actors on a Ray cluster, spread over its nodes.

The shards' directories have to be found at the same path on every node: on a file system that all of them share, or as
copies. An actor that dies, or whose node does, is started again by Ray; what it was asked fails meanwhile.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from index.errors import UnavailableError
from index.ray_cluster import connected
from index.sharded.processes import portable
from index.sharded.workers import MOST_WAITING, Lazy, failed


class RayWorkers:
    """An actor for each object."""

    def __init__(
        self, make: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], at_once: int, address: str = ""
    ) -> None:
        ray = connected(address)
        # No processors are reserved: shards of one index must all come up, however small the cluster.
        place = ray.remote(_Place).options(
            num_cpus=0,
            max_concurrency=at_once,
            max_pending_calls=MOST_WAITING,
            max_restarts=-1,
            scheduling_strategy="SPREAD",
        )
        self._actors = [place.remote(make, args) for args in arguments]
        self._ended = weakref.finalize(self, _end, ray, list(self._actors))

    def __len__(self) -> int:
        return len(self._actors)

    def ask(self, number: int, method: str, *args: Any) -> Future[Any]:
        if not self._ended.alive:
            return failed(f"Shard {number} is closed.")
        answer: Future[Any] = Future()
        try:
            asked = self._actors[number].call.remote(method, args).future()
        except Exception as problem:  # too many calls are waiting, or the cluster is gone
            return failed(f"Shard {number} cannot be asked: {_words(problem)}")
        asked.add_done_callback(lambda done: _pass_on(number, done, answer))
        return answer

    def close(self) -> None:
        self._ended()


class _Place:
    """What an actor is made of: the object, made when it is first asked."""

    def __init__(self, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._thing = Lazy(make, args)

    def call(self, method: str, args: tuple[Any, ...]) -> tuple[bool, Any]:
        try:
            return True, self._thing.call(method, args)
        except Exception as problem:
            return False, portable(problem)


def _pass_on(number: int, done: Future[Any], answer: Future[Any]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    problem = done.exception()
    if problem is not None:
        answer.set_exception(UnavailableError(f"Shard {number} does not answer: {_words(problem)}", "Ask again."))
        return
    good, value = done.result()
    if good:
        answer.set_result(value)
    else:
        answer.set_exception(value)


def _words(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0] if lines else ''}"


def _end(ray: Any, actors: Sequence[Any]) -> None:
    if ray.is_initialized():
        for actor in actors:
            ray.kill(actor)

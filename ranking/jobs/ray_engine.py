"""The engine of a Ray cluster: actors that each hold a worker, on whatever nodes there are.

Plain actors, not Ray Data: a part is marked as done by the file that its worker writes, so resuming is exact and the
output equal to that of every other engine, and nobody has to read the finished part of the input again to find out
what is missing. Reading takes place in the worker that ranks, so that no reader can be starved by actors that hold the
models. All nodes have to reach the input, the output and the index by the same paths or URIs.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from index.errors import ClickwiseError, InputError
from index.ray_cluster import connected
from ranking.jobs.crew import LOOK, Crew
from ranking.jobs.engine import Advance, Task, Worker
from ranking.jobs.job import Done, Part
from ranking.jobs.local import use_threads
from ranking.jobs.machine import share


class RayEngine:
    """Workers on the cluster at `address`, else at RAY_ADDRESS, else on one that is started on this machine.

    `workers` is as many as the cluster has processors for, with `threads` each, where it is not given. The first
    `gpus` of them have a GPU each and the others see none: a task that computes on a GPU finds it by itself. (What
    Clickwise ranks and embeds with computes on processors.)

    Raises InputError for numbers that cannot be, UnavailableError without Ray or its cluster.
    """

    name = "ray"

    def __init__(
        self, address: str = "", workers: int | None = None, threads: int | None = None, *, gpus: int = 0
    ) -> None:
        self._ray = connected(address)
        if address or os.environ.get("RAY_ADDRESS"):
            self.threads = threads or 1
            processors = int(self._ray.cluster_resources().get("CPU", 1))
            self.workers = workers or max(1, processors // self.threads)
        else:
            chosen = share(workers, threads)
            self.workers, self.threads = chosen.workers, chosen.threads
        if not 0 <= gpus <= self.workers:
            raise InputError(f"{gpus} of {self.workers} workers cannot have a GPU.", "Use fewer GPUs or more workers.")
        self.gpus = gpus

    def run(self, task: Task, parts: Sequence[Part], advance: Advance, stop: threading.Event) -> Iterator[Done]:
        size = min(self.workers, len(parts))
        return _Crew(task, deque(parts), size, self.threads, self._ray, self.gpus).work(advance, stop)


@dataclass
class _Hand:
    """An actor, what it has been asked last, and the part that it is working on; None while it opens its task."""

    actor: Any
    asked: Any
    gpu: bool
    part: Part | None = None


@dataclass
class _Crew(Crew):
    ray: Any
    gpus: int
    hands: list[_Hand] = field(default_factory=list, init=False)
    idle: list[_Hand] = field(default_factory=list, init=False)

    @property
    def busy(self) -> bool:
        return any(hand.part is not None for hand in self.hands)

    def employ(self) -> None:
        while self.idle and self.waiting:
            hand = self.idle.pop()
            hand.part = self.waiting.popleft()
            hand.asked = hand.actor.work.remote(hand.part)
            self.hands.append(hand)
        opening = sum(hand.part is None for hand in self.hands)
        for _ in range(min(self.size - len(self.hands) - len(self.idle), len(self.waiting) - opening)):
            self.hands.append(self._start())

    def heard(self, advance: Advance) -> Iterator[Done]:
        said, _ = self.ray.wait([hand.asked for hand in self.hands], timeout=LOOK)
        for hand in [hand for hand in self.hands if hand.asked in said]:
            self.hands.remove(hand)
            try:
                kind, value = self.ray.get(hand.asked)
            except self.ray.exceptions.RayError as death:
                self.lost(hand.part, f"so: {type(death).__name__}", death)  # it, or its node
                continue
            if kind == "refused":
                error, message, advice = value
                raise error(message, advice)
            if kind == "failed":
                raise RuntimeError(f"A worker failed:\n{value}")
            hand.part = None
            self.idle.append(hand)
            if kind == "ready":
                self.deaths[None] = 0
                advance(0)
            else:
                advance(value.rows)
                yield value

    def dismiss(self) -> None:
        for hand in (*self.hands, *self.idle):
            self.ray.kill(hand.actor)

    def _start(self) -> _Hand:
        gpu = self.gpus > sum(hand.gpu for hand in (*self.hands, *self.idle))
        options = {"num_cpus": self.threads, "num_gpus": int(gpu), "scheduling_strategy": "SPREAD"}
        actor = self.ray.remote(_Actor).options(**options).remote(self.task, self.threads, gpu)
        return _Hand(actor, actor.open.remote(), gpu)


class _Actor:
    """A worker in a process of the cluster. Its errors travel as words: a pickle would lose their advice."""

    def __init__(self, task: Task, threads: int, gpu: bool) -> None:
        self._task = task
        self._worker: Worker | None = None
        use_threads(threads)
        if not gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def open(self) -> tuple[str, Any]:
        return self._told("ready", self._opened)

    def work(self, part: Part) -> tuple[str, Any]:
        return self._told("done", lambda: self._opened().work(part, lambda rows: None))

    def _opened(self) -> Worker:
        if self._worker is None:
            self._worker = self._task.open()
        return self._worker

    def _told(self, good: str, call: Callable[[], Done | Worker]) -> tuple[str, Any]:
        try:
            made = call()
            return good, made if isinstance(made, Done) else None
        except ClickwiseError as error:
            return "refused", (type(error), error.message, error.advice)
        except Exception:
            return "failed", traceback.format_exc()

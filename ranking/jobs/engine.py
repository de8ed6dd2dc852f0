"""Where the parts of a job are worked on: the contract of engines, and the plainest of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from ranking.jobs.job import Done, Part

Advance: TypeAlias = Callable[[int], None]
"""Called with the number of rows done since its last call; first with 0, when a worker is ready. Only shown: what
counts is `Done`."""


class Worker(Protocol):
    """Works on parts, one after the other, in the thread that made it."""

    def work(self, part: Part, advance: Advance) -> Done:
        """Do a part and write what comes of it, with its mark last. Doing it again gives the same bytes."""
        ...


class Task(Protocol):
    """What workers carry out. Small and picklable: it goes to every worker."""

    def open(self) -> Worker:
        """Open indexes and load models, in the process that works."""
        ...


class Engine(Protocol):
    """Has parts worked on, somewhere, several at a time."""

    name: str
    workers: int

    def run(self, task: Task, parts: Sequence[Part], advance: Advance, stop: threading.Event) -> Iterator[Done]:
        """Yield what came of each part, in any order.

        A part whose worker died is given to another. After `stop` no further part is begun and those under way may be
        dropped; so too when the iterator is closed. A ClickwiseError that a worker raises is raised here.
        """
        ...


class InProcess:
    """One worker, in this process and thread."""

    name = "in-process"
    workers = 1

    def run(self, task: Task, parts: Sequence[Part], advance: Advance, stop: threading.Event) -> Iterator[Done]:
        if not parts or stop.is_set():
            return
        worker = task.open()
        advance(0)
        for part in parts:
            if stop.is_set():
                return
            yield worker.work(part, advance)

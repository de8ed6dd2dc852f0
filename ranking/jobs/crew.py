"""Workers that may die, and the parts that wait for one: what the engines that have such workers share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from index.errors import UnavailableError
from ranking.jobs.engine import Advance, Task
from ranking.jobs.job import Done, Part

TRIES: Final = 3
"""So many workers may die of one part, or in starting, before the job gives up."""
LOOK: Final = 0.2
"""Seconds between two looks at whether to stop."""


@dataclass
class Crew(ABC):
    """At most `size` workers of `threads` threads each, that carry out a task."""

    task: Task
    waiting: deque[Part]
    size: int
    threads: int
    deaths: Counter[int | None] = field(default_factory=Counter, init=False)  # by part; None: in starting

    def work(self, advance: Advance, stop: threading.Event) -> Iterator[Done]:
        """What `Engine.run` gives. Whatever ends it, no worker is left."""
        try:
            while not stop.is_set() and (self.waiting or self.busy):
                self.employ()
                yield from self.heard(advance)
        finally:
            self.dismiss()

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether anybody works on a part."""

    @abstractmethod
    def employ(self) -> None:
        """Start workers up to the number wanted, and give those that are ready a part each."""

    @abstractmethod
    def heard(self, advance: Advance) -> Iterator[Done]:
        """What workers have said within a moment (`LOOK`)."""

    @abstractmethod
    def dismiss(self) -> None:
        """End all workers."""

    def lost(self, part: Part | None, how: str, cause: Exception | None = None) -> None:
        """A worker has died: its part goes back to the head of the queue. Raises UnavailableError after `TRIES`."""
        number = part.number if part else None
        self.deaths[number] += 1
        if self.deaths[number] >= TRIES:
            what = "Workers" if number is None else f"Workers on part {number}"
            raise UnavailableError(
                f"{what} have died {TRIES} times, the last {how}.",
                "If memory ran out, use fewer workers (--workers) or smaller parts (--part-rows).",
            ) from cause
        if part is not None:
            self.waiting.appendleft(part)

"""For how long a client waits: until its deadline, or until it has gone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import ClientDisconnect

from index.errors import OverloadedError

WAITING_SHARE: Final = 0.25
"""The part of the time that a request may be expected to wait for a thread: who would wait longer is turned away."""
RANKING_SHARE: Final = 0.9
"""The part of the time that ranking may take; the rest is for recording the answer, its titles and passages."""


class LateError(OverloadedError):
    """A request whose deadline was over before anybody could begin with it."""

    kind = "late"


@dataclass(slots=True, eq=False)
class Patience:
    """Of one request. Times are of `time.perf_counter`; waiting for a thread counts."""

    arrived: float
    seconds: float
    _gone: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, wished_ms: int | None, most_ms: int, arrived: float | None = None) -> Patience:
        """What the client wishes, within what the settings allow."""
        ms = most_ms if wished_ms is None else min(wished_ms, most_ms)
        return cls(time.perf_counter() if arrived is None else arrived, ms / 1000)

    @property
    def ranking_ends(self) -> float:
        return self.arrived + RANKING_SHARE * self.seconds

    @property
    def over(self) -> bool:
        return time.perf_counter() >= self.arrived + self.seconds

    def begin(self) -> None:
        """Raises LateError where there is no time left to begin."""
        self.check()
        if self.over:
            raise LateError(
                f"The request waited for its turn until its deadline of {1000 * self.seconds:.0f} ms was over.",
                "Try again in a moment, or give it more time with deadline_ms.",
            )

    def check(self) -> None:
        """Raises ClientDisconnect where nobody waits any more: nothing shall be recorded as shown then."""
        if self._gone.is_set():
            raise ClientDisconnect

    def end(self) -> None:
        """The client has gone."""
        self._gone.set()

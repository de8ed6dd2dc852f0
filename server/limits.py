"""How often one caller may ask: a token bucket each, in one number.

The generic cell rate algorithm (ITU-T I.371): a bucket that holds `burst` tokens and gains `rate` of them a second is
full again at some moment, and that moment is all one has to know of it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CALLERS = 10_000
"""Callers that are remembered. One that has been forgotten finds its bucket full: no worse than a new caller."""


class Buckets:
    """A bucket per caller. Thread-safe. `rate` is in requests a second, and at least one request is always let through
    at once."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap = 1 / rate  # seconds that one token takes
        self._depth = max(1, burst) * self._gap
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str) -> float:
        """Take a token. Gives 0.0, or the seconds until there is one again."""
        now = self._clock()
        with self._lock:
            full_at = max(now, self._full_at.get(caller, now)) + self._gap
            short = full_at - now - self._depth
            # The tolerance is what sums of floats lose: without it the last token of a full bucket is refused.
            if short > 1e-9 * self._depth:
                return short
            self._full_at[caller] = full_at
            self._full_at.move_to_end(caller)
            if len(self._full_at) > MOST_CALLERS:
                self._full_at.popitem(last=False)
            return 0.0

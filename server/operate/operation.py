"""The use case of those who run the service: looks at the store that do not get in the way of searches."""

from __future__ import annotations

import threading
import time
from typing import Final

from server.catalog import Catalog
from server.operate.answers import ClicksAnswer, TrafficAnswer
from server.operate.clicks import clicks
from server.operate.period import Buckets
from server.operate.traffic import traffic
from server.store import Store

FRESH: Final = 15.0
"""Seconds for which a look at clicks is shown again: reading thousands of pages costs what many searches cost."""


class Operation:
    """Thread-safe."""

    def __init__(self, catalog: Catalog, store: Store) -> None:
        self._catalog, self._store = catalog, store
        self._turn = threading.Lock()  # one look at a time: the others find it done
        self._looks: dict[tuple[int, str | None], tuple[float, ClicksAnswer]] = {}

    def traffic(self, days: int, index: str | None = None) -> TrafficAnswer:
        """Raises NotFoundError for an unknown index, UnavailableError where the store cannot be read."""
        return traffic(self._store, Buckets.of(days, self._known(index)))

    def clicks(self, days: int, index: str | None = None) -> ClicksAnswer:
        """The same errors. At most `FRESH` seconds old."""
        key = (days, self._known(index))
        with self._turn:
            now = time.monotonic()
            self._looks = {key: look for key, look in self._looks.items() if now - look[0] < FRESH}
            if key not in self._looks:
                self._looks[key] = (now, clicks(self._store, Buckets.of(*key)))
            return self._looks[key][1]

    def _known(self, index: str | None) -> str | None:
        return self._catalog.index(index)[0] if index is not None else None

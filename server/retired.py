"""Models that serve no more: closed as soon as no request can need them."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Set


class Lease:
    """What a request holds while it works with what served when it began."""

    __slots__ = ("__weakref__",)


class Retired:
    """Knows which models may have served their time, and who may still be working with them. Thread-safe."""

    def __init__(self) -> None:
        self._models: set[str] = set()
        self._leases: list[weakref.ref[Lease]] = []
        self._lock = threading.Lock()

    def replaced(self, lease: Lease) -> None:
        """Something else serves from now on; requests that hold this lease go on with what served before."""
        with self._lock:
            self._leases.append(weakref.ref(lease))

    def consider(self, models: Iterable[str]) -> None:
        """These may have been loaded, and may serve no more."""
        with self._lock:
            self._models.update(models)

    def close_all_but(self, needed: Callable[[], Set[str]]) -> None:
        """Close the models among them that are not needed, unless a request goes on that began before an exchange.

        Taking an exchange back loads its model again: to keep them would cost the memory of all there have ever been.
        """
        with self._lock:
            self._leases = [lease for lease in self._leases if lease() is not None]
            if self._leases or not self._models:
                return
            unneeded = self._models - needed()
            self._models.clear()
        engines = sys.modules.get("ranking.learning.engines")
        if engines is not None:  # where it is not imported, nothing is loaded
            for model in unneeded:
                engines.close(model)

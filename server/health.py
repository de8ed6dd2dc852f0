"""Whether the service can answer searches now: its store, its indexes and its models, looked at for real."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final

from index.errors import ClickwiseError, NotFoundError
from server.problems import NotReadyError
from server.service import Service

log = logging.getLogger("clickwise.health")

FRESH_SECONDS: Final = 1.0
"""For how long a look counts, so that many probes cost what one does."""
PATIENCE_SECONDS: Final = 3.0
"""A part that takes longer to answer does not answer."""


class Health:
    """Looks when it is asked, at most once at a time. Thread-safe."""

    def __init__(self, submit: Callable[[Callable[[], Mapping[str, str]]], Future[Mapping[str, str]]]) -> None:
        """`submit` has the look taken in another thread."""
        self._submit = submit
        self._looking: Future[Mapping[str, str]] | None = None
        self._asked = -float("inf")
        self._lock = threading.Lock()

    async def check(self, service: Service) -> list[str]:
        """The parts that were looked at. Raises NotReadyError, which names those that fail."""
        with self._lock:
            now = time.monotonic()
            if self._looking is None or (self._looking.done() and now - self._asked > FRESH_SECONDS):
                self._looking, self._asked = self._submit(lambda: look(service)), now
            looking = asyncio.wrap_future(self._looking)
        done, _ = await asyncio.wait({looking}, timeout=PATIENCE_SECONDS)
        if not done:
            raise NotReadyError(f"The service did not answer itself within {PATIENCE_SECONDS:.0f} s.", _ADVICE)
        found = looking.result()
        failing = [part for part, state in found.items() if state != "ok"]
        if failing:
            raise NotReadyError(f"This does not work: {', '.join(failing)}.", _ADVICE)
        return list(found)


_ADVICE: Final = "Its log tells more; it recovers by itself when the cause is mended."


def look(service: Service) -> dict[str, str]:
    """Part -> "ok", or why it does not work. The parts are told to everybody who asks, the reasons to the log."""

    def store() -> None:
        service.store.rehearse()
        service.store.database.check_room()

    def indexes() -> None:
        service.catalog.let_go()
        for index in service.catalog.indexes.values():
            if index.view().gone:
                raise NotFoundError(f"The index at {index.path} is gone.", "Put it back, or build it again.")

    parts: dict[str, Callable[[], object]] = {"store": store, "indexes": indexes, "models": _models}
    return {part: _state(part, works) for part, works in parts.items()}


def _state(part: str, works: Callable[[], object]) -> str:
    try:
        works()
    except ClickwiseError as error:
        log.error("not ready: %s: %s", part, error)
        return str(error)
    except Exception as error:
        log.exception("not ready: %s", part)
        return str(error)
    return "ok"


def _models() -> None:
    """Raises RuntimeError for a model whose thread has died with work before it."""
    module = sys.modules.get("ranking.learning.engines")
    for name, engine in (module.running() if module else {}).items():
        if not engine.alive:
            raise RuntimeError(f"the thread of the model {name} has died")

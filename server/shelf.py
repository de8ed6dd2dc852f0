"""The opened indexes, by name, and those that are built while the service runs: found when somebody asks for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from index import generations
from index.errors import ClickwiseError
from index.index import Index

log = logging.getLogger("clickwise.indexes")

AWAY_SECONDS: Final = 60.0
"""For how long the directory of an index may be away: after that it has been removed on purpose, and is not served."""


class Shelf:
    """Thread-safe. What is open answers while its directory is away: see `index.index.Index.view`."""

    def __init__(
        self,
        opened: Mapping[str, Index],
        place: Callable[[str], Path | None] = lambda name: None,
        places: Callable[[], Mapping[str, Path]] = dict,
        opening: Callable[[Path], Index] = Index.open,
    ) -> None:
        """`place` gives the directory of the index of a name, None where there is none; `places` gives all that there
        are. Without them there is nothing to be found. `opening` opens one."""
        self.opened: Mapping[str, Index] = dict(opened)
        self._place, self._places, self._opening = place, places, opening
        self._turn = threading.Lock()
        self._refused: dict[str, tuple[int, int]] = {}  # the stamps of indexes that cannot be opened, as `look` told
        self._away: dict[str, float] = {}  # since when directories are
        self.needed: frozenset[str] = frozenset()
        """The indexes that are never let go of: a service without them could not do what it was set up for."""

    def get(self, name: str) -> Index | None:
        """An index; one that was built just now is opened, warm before it answers. None where there is none.

        Raises ConflictError or UnavailableError for one that cannot be opened.
        """
        found = self.opened.get(name)
        if found is not None:
            return found
        path = self._place(name)
        if path is None:
            return None
        with self._turn:
            return self.opened.get(name) or self._add(name, path)

    def look(self) -> None:
        """Open what has been built since. One that cannot be opened is told to the log, once; who names it hears why.

        Does nothing while another thread is opening one.
        """
        if not self._turn.acquire(blocking=False):
            return
        try:
            for name, path in self._places().items():
                if name not in self.opened:
                    self._try(name, path)
        finally:
            self._turn.release()

    def let_go(self) -> None:
        """Serve no more what has been removed: an index that nobody needs, and whose directory has been away for a
        minute. Where the directory is there, and cannot be read, the index is damaged, and stays.

        Does nothing while another thread is opening one.
        """
        if not self._turn.acquire(blocking=False):
            return
        try:
            now = time.monotonic()
            away = {name: index.path for name, index in self.opened.items() if not index.path.exists()}
            for name, path in away.items():
                if name not in self._away:
                    log.error("the directory %s of the index %s is gone: what is open goes on answering", path, name)
            self._away = {name: self._away.get(name, now) for name in away}
            for name, since in self._away.items():
                if now - since >= AWAY_SECONDS and name not in self.needed:
                    self._remove(name)
        finally:
            self._turn.release()

    def close(self) -> None:
        for index in self.opened.values():
            index.close()

    def _try(self, name: str, path: Path) -> None:
        try:
            stamp = generations.stamp(path)
            if self._refused.get(name) != stamp:
                self._refused[name] = stamp
                self._add(name, path)
        except (ClickwiseError, OSError) as error:
            log.error("the index %s cannot be opened: %s", name, error)

    def _remove(self, name: str) -> None:
        removed = self.opened[name]
        self.opened = {other: index for other, index in self.opened.items() if other != name}
        removed.close()
        log.error("the index %s is served no more: its directory %s was removed", name, removed.path)

    def _add(self, name: str, path: Path) -> Index:
        index = self._opening(path)
        try:
            index.warm_up()
        except BaseException:
            index.close()
            raise
        self.opened = {**self.opened, name: index}  # replaced as one: whoever reads has a whole mapping
        log.info("the index %s was found and serves", name)
        return index

"""The opened indexes, by name, and those that are built while the service runs: found when somebody asks for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from index import generations
from index.errors import ClickwiseError
from index.index import Index

log = logging.getLogger("clickwise.indexes")


class Shelf:
    """Thread-safe. What is open stays open; its directory may go and come back: see `index.index.Index.view`."""

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

"""What a round learns from clicks: debiased by a click model, where the settings do not say otherwise."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from index.errors import ClickwiseError
from server.events import Mark

if TYPE_CHECKING:
    from ranking.clicks.debias import Page
    from ranking.clicks.models.registry import Fitted

log = logging.getLogger("clickwise.clicks")

OFF: Final = "off"
PUBLISHED: Final = "published"
"""The setting `click_model` is one of these, or the folder of a fitted model."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One page that a searcher has seen, with the scores that ranked it and what was clicked: document -> the longest
    time that it was read, in milliseconds, None where nobody knows."""

    documents: tuple[str, ...]
    scores: tuple[float, ...] | None
    clicked: Mapping[str, int | None]

    def as_page(self) -> Page:
        from ranking.clicks.debias import Page

        dwell = {document: ms for document, ms in self.clicked.items() if ms is not None}
        return Page(self.documents, frozenset(self.clicked), self.scores, dwell)


class ClickReader:
    """Turns marks into marks: clicks get the relevance and the weight that a click model gives them, and documents that
    were looked at and left alone are marked as skipped. Judgements stay what they are."""

    def __init__(self, setting: str) -> None:
        """Raises NotFoundError where there is no model in the folder, InputError where it is damaged."""
        self.on = setting != OFF
        self._folder = None if setting in (OFF, PUBLISHED) else Path(setting)
        self._stamp = _stamp(self._folder)
        self._fitted = self._load()
        self._lock = threading.Lock()

    def _load(self) -> Fitted | None:
        from ranking.clicks.models.registry import Fitted

        return None if self._folder is None else Fitted.load(self._folder)

    def _model(self) -> Fitted | None:
        """The fitted model as it is now: a fit that was saved into the folder since serves from the next page on. One
        that cannot be read leaves the model before in place, and is told to the log."""
        with self._lock:
            stamp = _stamp(self._folder)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._fitted = self._load()
                    log.info("The click model in %s was loaded anew.", self._folder)
                except ClickwiseError as error:
                    log.warning("%s The one before goes on serving.", error)
            return self._fitted

    def wanted(self, marks: Mapping[str, Mark]) -> bool:
        """Whether there is anything to read: pages without any click may have been left for many reasons."""
        return self.on and any(mark.kind == "click" for mark in marks.values())

    def read(self, query: str, marks: Mapping[str, Mark], pages: Sequence[Seen]) -> dict[str, Mark]:
        """The marks of a query, given the pages that were shown for it, oldest first. A clicked document that no page
        shows keeps its mark."""
        from ranking.clicks.debias import Judgements, debiased

        judged = {document: mark for document, mark in marks.items() if mark.kind != "click"}
        judgements = Judgements(
            {document: mark.relevance for document, mark in judged.items()},
            {document: mark.weight for document, mark in judged.items()},
        )
        found = debiased(query, [page.as_page() for page in pages], judgements, self._model())
        read = dict(marks)
        for document, relevance, weight in zip(found.ids, found.relevance.tolist(), found.weight.tolist(), strict=True):
            if document not in judged:
                read[document] = Mark(document, "click" if document in marks else "skipped", relevance, weight)
        return read


def _stamp(folder: Path | None) -> tuple[int, int] | None:
    """What tells one fit in the folder from another."""
    try:
        found = None if folder is None else (folder / "model.json").stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino)

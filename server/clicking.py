"""What a round learns from clicks: debiased by a click model, where the settings do not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from server.events import Mark

if TYPE_CHECKING:
    from ranking.clicks.debias import Page
    from ranking.clicks.models.registry import Fitted

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
        self._fitted: Fitted | None = None
        if setting not in (OFF, PUBLISHED):
            from ranking.clicks.models.registry import Fitted

            self._fitted = Fitted.load(Path(setting))

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
        found = debiased(query, [page.as_page() for page in pages], judgements, self._fitted)
        read = dict(marks)
        for document, relevance, weight in zip(found.ids, found.relevance.tolist(), found.weight.tolist(), strict=True):
            if document not in judged:
                read[document] = Mark(document, "click" if document in marks else "skipped", relevance, weight)
        return read

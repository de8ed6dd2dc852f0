"""The pages that a searcher has seen, each with the clicks that belong to it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, RowMapping, select

from server.clicking import Seen
from server.store.tables import events, impressions, rankings


def seen(connection: Connection, query_id: str, clicked: Collection[str]) -> list[Seen]:
    """The pages shown of a query, oldest first, each with the clicks on these documents that belong to it: to the
    newest page by then that shows the document."""
    shown = (
        select(
            impressions.c.impression_id,
            impressions.c.offset,
            impressions.c.documents,
            impressions.c.shown_ms,
            rankings.c.scores,
        )
        .join(
            rankings,
            (rankings.c.query_id == impressions.c.query_id) & (rankings.c.round == impressions.c.round),
        )
        .where(impressions.c.query_id == query_id)
        .order_by(impressions.c.impression_id)
    )
    acts = select(events).where(events.c.query_id == query_id, events.c.kind == "click").order_by(events.c.event_id)
    pages = [_Shown.of(row) for row in connection.execute(shown).mappings()]
    for click in connection.execute(acts).mappings():
        if click["document"] in clicked:
            _assign(click, pages)
    return [page.seen for page in pages]


def was_shown(page_id: int, shown_ms: int, event: RowMapping) -> bool:
    """Whether a page of an event's query had been shown when the event came.

    Told by the ids, which no clock can turn round; by the time where an old event does not hold one.
    """
    newest = event["impression_id"]
    return bool(shown_ms <= event["received_ms"] if newest is None else page_id <= newest)


@dataclass(slots=True)
class _Shown:
    """A page while its clicks are gathered."""

    id: int
    shown_ms: int
    documents: tuple[str, ...]
    scores: tuple[float, ...] | None
    clicked: dict[str, int | None]

    @classmethod
    def of(cls, row: RowMapping) -> _Shown:
        documents, offset = tuple(json.loads(row["documents"])), int(row["offset"])
        ranked = np.frombuffer(row["scores"], dtype="<f4")[offset : offset + len(documents)]
        scores = tuple(ranked.astype(np.float64).tolist()) if len(ranked) == len(documents) else None
        return cls(row["impression_id"], row["shown_ms"], documents, scores, {})

    @property
    def seen(self) -> Seen:
        return Seen(self.documents, self.scores, self.clicked)


def _assign(click: RowMapping, pages: Sequence[_Shown]) -> None:
    """Give a click to the newest page by then that shows its document, if any does."""
    own = [page for page in pages if click["document"] in page.documents]
    if own:
        page = next((page for page in reversed(own) if was_shown(page.id, page.shown_ms, click)), own[0])
        read = [ms for ms in (page.clicked.get(click["document"]), click["dwell_ms"]) if ms is not None]
        page.clicked[click["document"]] = max(read) if read else None

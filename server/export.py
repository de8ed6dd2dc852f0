"""From the store to a click log: every page that was shown, with the events that belong to it.

A query may have been shown several pages: the rounds after feedback, and further pages of each. In the log each is an
impression of its own, named QUERY_ID.IMPRESSION_ID; the arm of a page is its experiment, and round:2, round:3, … after
feedback, so that nobody takes what a click has moved for what a ranker preferred. An event belongs to the last page
that had shown its document when it came; the events of a page are those of the store up to the moment at which the
export began.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from ranking.clicks.pages import Event, Kind, Page
from server.store import Store, removals
from server.store.pages import was_shown
from server.store.tables import events, impressions, queries, rankings

_PAGES: Final = 500
"""Pages per look at the store: each look is a short transaction, so writers are not held up."""
_KINDS: Final[Mapping[str, tuple[Kind, float | None, float | None]]] = {
    "click": ("click", None, None),
    "relevant": ("judgement", 1.0, 1.0),
    "not_relevant": ("judgement", 0.0, 1.0),
    "none": ("judgement", None, 0.0),  # takes back what was said: a judgement without weight
}


@dataclass(slots=True)
class Exported:
    """How much was written. `elsewhere` are events on documents that no page of their query had shown by then."""

    pages: int = 0
    events: int = 0
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the store has come: its newest page and event, and how often rows were removed from it. Whoever has read
    up to one watermark reads on from there, unless something was removed since."""

    page: int = 0
    event: int = 0
    removals: int = 0

    @classmethod
    def of(cls, store: Store) -> Watermark:
        """Raises UnavailableError where the store cannot be read."""
        with store.database.settled() as connection:
            newest = connection.execute(select(func.max(impressions.c.impression_id))).scalar() or 0
            last_event = connection.execute(select(func.max(events.c.event_id))).scalar() or 0
            return cls(newest, last_event, removals.count(connection))


def export_pages(
    store: Store,
    *,
    begin: datetime | None = None,
    end: datetime | None = None,
    index: str | None = None,
    report: Exported | None = None,
) -> Iterator[Page]:
    """The pages shown in [begin, end), in the order of their ids, while the store may be written.

    Raises UnavailableError where the store cannot be read.
    """
    counts = Exported() if report is None else report
    wanted = []
    if begin is not None:
        wanted.append(impressions.c.shown_ms >= _ms(begin))
    if end is not None:
        wanted.append(impressions.c.shown_ms < _ms(end))
    if index is not None:
        wanted.append(queries.c.index == index)
    for _, page in pages_where(store, wanted, Watermark.of(store)):
        counts.pages += 1
        counts.events += len(page.events)
        counts.elsewhere += sum(event.document not in page.documents for event in page.events)
        yield page


def pages_where(
    store: Store, wanted: Sequence[ColumnElement[bool]], until: Watermark
) -> Iterator[tuple[RowMapping, Page]]:
    """The pages for which all of `wanted` hold, with their rows, in the order of their ids, as far as a watermark."""
    done = 0
    while True:
        with store.reading() as connection:
            rows = connection.execute(_pages_after(done, until.page, wanted)).mappings().all()
            if not rows:
                return
            acts = _events(connection, [row["query_id"] for row in rows], until.event)
        done = rows[-1]["impression_id"]
        for row in rows:
            yield row, _page(row, json.loads(row["documents"]), acts.get(row["impression_id"], []))


def _pages_after(done: int, newest: int, wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    return (
        select(
            impressions,
            queries.c.index,
            queries.c.text,
            rankings.c.pipeline,
            rankings.c.version,
            rankings.c.scores,
        )
        .join(queries, queries.c.query_id == impressions.c.query_id)
        .join(
            rankings,
            (rankings.c.query_id == impressions.c.query_id) & (rankings.c.round == impressions.c.round),
        )
        .where(impressions.c.impression_id > done, impressions.c.impression_id <= newest, *wanted)
        .order_by(impressions.c.impression_id)
        .limit(_PAGES)
    )


def _events(connection: Connection, query_ids: Sequence[str], last: int) -> dict[int, list[Event]]:
    """The events of these queries, by the impression to which each belongs."""
    wanted = list(dict.fromkeys(query_ids))
    shown: dict[str, list[RowMapping]] = defaultdict(list)
    chosen = (
        select(
            impressions.c.impression_id,
            impressions.c.query_id,
            impressions.c.documents,
            impressions.c.shown_ms,
        )
        .where(impressions.c.query_id.in_(wanted))
        .order_by(impressions.c.impression_id)
    )
    for row in connection.execute(chosen).mappings():
        shown[row["query_id"]].append(row)
    found: dict[int, list[Event]] = defaultdict(list)
    acted = select(events).where(events.c.query_id.in_(wanted), events.c.event_id <= last).order_by(events.c.event_id)
    for row in connection.execute(acted).mappings():
        pages = shown[row["query_id"]]
        if pages:
            found[_owner(pages, row)].append(_event(row))
    return found


def _owner(pages: Sequence[RowMapping], event: RowMapping) -> int:
    """The page to which an event belongs: the last one by then that shows its document, or else the last by then."""
    before = [page for page in pages if was_shown(page["impression_id"], page["shown_ms"], event)] or pages[:1]
    own = [page for page in before if event["document"] in json.loads(page["documents"])]
    return int((own or before)[-1]["impression_id"])


def _event(row: RowMapping) -> Event:
    kind, relevance, weight = _KINDS.get(row["kind"], ("judgement", row["relevance"], row["weight"]))
    return Event(
        row["document"],
        kind,
        rank=row["position"],
        relevance=relevance,
        weight=weight,
        dwell_ms=row["dwell_ms"],
        time=_time(row["received_ms"]),
        event_id=str(row["event_id"]),
    )


def _page(row: RowMapping, documents: Sequence[str], acts: Sequence[Event]) -> Page:
    offset = int(row["offset"])
    ranked = np.frombuffer(row["scores"], dtype="<f4")[offset : offset + len(documents)].astype(np.float64)
    scores = ranked.tolist() if len(ranked) == len(documents) else None
    if row["credits"] is not None:  # what clicks count in a duel says more than how two rankings were joined
        scores = json.loads(row["credits"])
    return Page(
        f"{row['query_id']}.{row['impression_id']}",
        row["text"],
        documents,
        range(offset + 1, offset + 1 + len(documents)),
        acts,
        pipeline=row["pipeline"],
        pipeline_version=row["version"],
        propensities=None if row["propensities"] is None else json.loads(row["propensities"]),
        scores=scores,
        arm=row["arm"] or (f"round:{row['round']}" if row["round"] > 1 else None),
        session=row["session_id"],
        client=row["client_id"] or row["user_id"],
        time=_time(row["shown_ms"]),
    )


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

"""The store: rankings, impressions and events in one place. What it has acknowledged survives a crash."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, RowMapping, func, insert, select

from index.errors import ConflictError, NotFoundError
from index.types import Ranking
from server.clicking import Seen
from server.events import Event, Mark, fold
from server.sqlite import open_engine, store_errors
from server.tables import events, impressions, queries, rankings


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A question asked of one index; `filter` in its text form."""

    id: str
    index: str
    text: str
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One ranking of a query and what made it. Rounds count from 1; the store gives the number.

    `score_kind` says what the scores are, `feedback` what the ranking knew; `stages` holds the ranking of every stage
    where that was asked for.
    """

    ranking: Ranking
    pipeline: str
    version: str
    generation: str
    score_kind: str
    feedback: tuple[Mark, ...] = ()
    stages: Mapping[str, Ranking] | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """What was shown of a ranking, to whom: the documents from `offset` (0-based) on, in their order.

    `arm` names the experiment that made the page, if there was one; `propensities` are the probabilities with which it
    put each document there, and `credits` what a click on each counts in a duel.
    """

    offset: int
    documents: tuple[str, ...]
    session_id: str | None = None
    user_id: str | None = None
    arm: str | None = None
    propensities: tuple[float, ...] | None = None
    credits: tuple[float, ...] | None = None


class Store:
    """Thread-safe. Every method raises UnavailableError where the file cannot be read or written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._turn = threading.Lock()  # threads queue here instead of polling SQLite's lock
        self.where = str(engine.url.database)

    @classmethod
    def open(cls, address: str) -> Store:
        """The store at a `sqlite:///path` URL, created where it is missing. Errors: see `open_engine`."""
        return cls(open_engine(address))

    def close(self) -> None:
        self._engine.dispose()

    def query(self, query_id: str) -> StoredQuery:
        """Raises NotFoundError for an id that was never given out."""
        with self.reading() as connection:
            row = connection.execute(select(queries).where(queries.c.query_id == query_id)).mappings().first()
        if row is None:
            raise _unknown_query(query_id)
        return StoredQuery(row["query_id"], row["index"], row["text"], row["filter"])

    def marks(self, query_id: str) -> dict[str, Mark]:
        """What is believed about each document of a query after all events so far."""
        with self.reading() as connection:
            rows = connection.execute(
                select(events).where(events.c.query_id == query_id).order_by(events.c.event_id)
            ).mappings()
            return fold(_event(row) for row in rows)

    def seen(self, query_id: str, clicked: Collection[str]) -> list[Seen]:
        """The pages shown of a query, oldest first, each with the clicks on these documents that belong to it: to the
        newest page by then that shows the document."""
        shown = (
            select(impressions.c.offset, impressions.c.documents, impressions.c.shown_ms, rankings.c.scores)
            .join(
                rankings,
                (rankings.c.query_id == impressions.c.query_id) & (rankings.c.round == impressions.c.round),
            )
            .where(impressions.c.query_id == query_id)
            .order_by(impressions.c.impression_id)
        )
        acts = select(events).where(events.c.query_id == query_id, events.c.kind == "click").order_by(events.c.event_id)
        with self.reading() as connection:
            pages = [_Shown.of(row) for row in connection.execute(shown).mappings()]
            clicks = connection.execute(acts).mappings().all()
        for click in clicks:
            if click["document"] in clicked:
                _assign(click, pages)
        return [page.seen for page in pages]

    def round(self, query_id: str, number: int | None = None) -> Round | None:
        """The round of this number, or the newest; None where there is none."""
        rows = select(rankings).where(rankings.c.query_id == query_id)
        newest = rows.order_by(rankings.c.round.desc()).limit(1)
        chosen = newest if number is None else rows.where(rankings.c.round == number)
        with self.reading() as connection:
            row = connection.execute(chosen).mappings().first()
        return None if row is None else _round(row)

    def ranked(self, query_id: str, document: str) -> bool:
        """Whether any round of the query ranked this document."""
        with self.reading() as connection:
            rows = connection.execute(select(rankings.c.documents).where(rankings.c.query_id == query_id)).scalars()
            return any(document in _unpacked(blob) for blob in rows)

    def add_round(
        self, query: StoredQuery, made: Round, page: Page, graded: Sequence[Event] = (), *, new: bool
    ) -> Round:
        """Record one more round of a query with its first page shown and the feedback that came with it: all or none.

        `new` records the query itself too. Returns the round with its number.
        """
        with self._writing() as connection:
            return _add_round(connection, query, made, page, graded, new=new)

    def add_page(self, query_id: str, number: int, page: Page) -> None:
        """Record another page shown of a round."""
        with self._writing() as connection:
            connection.execute(insert(impressions), [_page_row(query_id, number, page)])

    def add_event(self, event: Event) -> tuple[int, bool]:
        """Record an event; returns its id and whether it had been recorded before under its idempotency key.

        Raises NotFoundError for an unknown query and ConflictError where the key belongs to a different event.
        """
        with self._writing() as connection:
            return _add_event(connection, event)

    def rehearse(self) -> None:
        """Write and read once and take all of it back: so the first request finds no cold path and no closed door.

        Raises UnavailableError where the store cannot be written.
        """
        query, made = StoredQuery("rehearsal", "", ""), Round(Ranking.empty(), "", "", "", "")
        with self._turn, store_errors(self.where), self._writer.connect() as connection, connection.begin() as doing:
            _add_round(connection, query, made, Page(0, ()), new=True)
            _add_event(connection, Event(query.id, "", "click", idempotency_key="rehearsal"))
            doing.rollback()
        self.marks(query.id)
        self.round(query.id)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads: all of it sees the store at one moment."""
        with store_errors(self.where), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._turn, store_errors(self.where), self._writer.begin() as connection:
            yield connection


@dataclass(slots=True)
class _Shown:
    """A page while its clicks are gathered."""

    shown_ms: int
    documents: tuple[str, ...]
    scores: tuple[float, ...] | None
    clicked: dict[str, int | None]

    @classmethod
    def of(cls, row: RowMapping) -> _Shown:
        documents, offset = tuple(json.loads(row["documents"])), int(row["offset"])
        ranked = np.frombuffer(row["scores"], dtype="<f4")[offset : offset + len(documents)]
        scores = tuple(ranked.astype(np.float64).tolist()) if len(ranked) == len(documents) else None
        return cls(row["shown_ms"], documents, scores, {})

    @property
    def seen(self) -> Seen:
        return Seen(self.documents, self.scores, self.clicked)


def _assign(click: RowMapping, pages: Sequence[_Shown]) -> None:
    """Give a click to the newest page by then that shows its document, if any does."""
    own = [page for page in pages if click["document"] in page.documents]
    if own:
        page = next((page for page in reversed(own) if page.shown_ms <= click["received_ms"]), own[0])
        read = [ms for ms in (page.clicked.get(click["document"]), click["dwell_ms"]) if ms is not None]
        page.clicked[click["document"]] = max(read) if read else None


def _add_round(
    connection: Connection, query: StoredQuery, made: Round, page: Page, graded: Sequence[Event] = (), *, new: bool
) -> Round:
    if new:
        connection.execute(insert(queries), [_query_row(query)])
    newest = select(func.coalesce(func.max(rankings.c.round), 0)).where(rankings.c.query_id == query.id)
    numbered = replace(made, number=connection.execute(newest).scalar_one() + 1)
    connection.execute(insert(rankings), [_round_row(query.id, numbered)])
    connection.execute(insert(impressions), [_page_row(query.id, numbered.number, page)])
    if graded:
        connection.execute(insert(events), [_event_row(event) for event in graded])
    return numbered


def _add_event(connection: Connection, event: Event) -> tuple[int, bool]:
    if event.idempotency_key is not None:
        key = events.c.idempotency_key == event.idempotency_key
        row = connection.execute(select(events).where(key)).mappings().first()
        if row is not None:
            return _same(row, event), True
    asked = select(queries.c.query_id).where(queries.c.query_id == event.query_id)
    if connection.execute(asked).first() is None:
        raise _unknown_query(event.query_id)
    fresh = insert(events).values(_event_row(event)).returning(events.c.event_id)
    return connection.execute(fresh).scalar_one(), False


def _unknown_query(query_id: str) -> NotFoundError:
    return NotFoundError(f"There is no query {query_id!r}.", "Use the query_id of an answer to a search.")


def _same(row: RowMapping, event: Event) -> int:
    """The id of the recorded event, if it is the one sent again."""
    if _event(row) != event:
        raise ConflictError(
            f"The idempotency key {event.idempotency_key!r} belongs to another event.", "Use a new key for every event."
        )
    return int(row["event_id"])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _packed(value: Any) -> bytes:
    # Level 1: a thousand ids pack to a third in under a millisecond; higher levels gain little.
    return zlib.compress(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), 1)


def _unpacked(blob: bytes) -> Any:
    return json.loads(zlib.decompress(blob))


def _query_row(query: StoredQuery) -> dict[str, Any]:
    return {
        "query_id": query.id,
        "index": query.index,
        "text": query.text,
        "filter": query.filter,
        "received_ms": _now_ms(),
    }


def _round_row(query_id: str, made: Round) -> dict[str, Any]:
    stages = made.stages and _packed({name: [part.ids, part.scores.tolist()] for name, part in made.stages.items()})
    return {
        "query_id": query_id,
        "round": made.number,
        "pipeline": made.pipeline,
        "version": made.version,
        "generation": made.generation,
        "score_kind": made.score_kind,
        "documents": _packed(made.ranking.ids),
        "scores": made.ranking.scores.astype("<f4").tobytes(),
        "stages": stages or None,
        "feedback": json.dumps([[m.document, m.kind, m.relevance, m.weight] for m in made.feedback]),
        "ranked_ms": _now_ms(),
    }


def _round(row: RowMapping) -> Round:
    stages = row["stages"] and {
        name: Ranking(ids, np.asarray(scores, dtype=np.float64))
        for name, (ids, scores) in _unpacked(row["stages"]).items()
    }
    return Round(
        ranking=Ranking(_unpacked(row["documents"]), np.frombuffer(row["scores"], dtype="<f4").astype(np.float64)),
        pipeline=row["pipeline"],
        version=row["version"],
        generation=row["generation"],
        score_kind=row["score_kind"],
        feedback=tuple(Mark(*mark) for mark in json.loads(row["feedback"])),
        stages=stages or None,
        number=row["round"],
    )


def _page_row(query_id: str, number: int, page: Page) -> dict[str, Any]:
    return {
        "query_id": query_id,
        "round": number,
        "offset": page.offset,
        "documents": json.dumps(page.documents, ensure_ascii=False),
        "session_id": page.session_id,
        "user_id": page.user_id,
        "propensities": None if page.propensities is None else json.dumps(page.propensities),
        "shown_ms": _now_ms(),
        "arm": page.arm,
        "credits": None if page.credits is None else json.dumps(page.credits),
    }


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "query_id": event.query_id,
        "document": event.document,
        "kind": event.kind,
        "relevance": event.relevance,
        "weight": event.weight,
        "position": event.position,
        "dwell_ms": event.dwell_ms,
        "idempotency_key": event.idempotency_key,
        "received_ms": _now_ms(),
    }


def _event(row: RowMapping) -> Event:
    return Event(
        query_id=row["query_id"],
        document=row["document"],
        kind=row["kind"],
        position=row["position"],
        dwell_ms=row["dwell_ms"],
        idempotency_key=row["idempotency_key"],
        relevance=row["relevance"],
        weight=row["weight"],
    )

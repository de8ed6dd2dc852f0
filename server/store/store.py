"""The store: rankings, impressions and events in one place. What it has acknowledged survives a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias, TypeVar

from sqlalchemy import Connection, exc, select

from index.distribution import SECONDS, Distribution
from index.errors import ClickwiseError, ConflictError, NotFoundError, UnavailableError
from index.types import Ranking
from server.clicking import Seen
from server.events import Event, Mark, fold
from server.store.adding import add_event, add_page, add_query, add_round, unknown_query
from server.store.database import Database, open_database
from server.store.pages import seen
from server.store.people import Pseudonyms, erase
from server.store.records import Erased, Page, Round, StoredQuery
from server.store.rows import event_of, round_of, round_row, unpacked
from server.store.tables import events, queries, rankings

T = TypeVar("T")
R = TypeVar("R")
MOST_TOGETHER: Final = 1_000
"""Records of one commit: others wait while SQLite is written to, and PostgreSQL has room for some thousand locks."""
Asked: TypeAlias = tuple[StoredQuery, Round, Page]
"""A query as another service has answered it."""


@dataclass(frozen=True, slots=True)
class Writes:
    """What a store has written since it was opened: the seconds of each transaction that is durable, and of each that
    the database could not do, waiting for their turn included."""

    done: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    failed: Distribution = field(default_factory=lambda: Distribution(SECONDS))


class _Rehearsed(Exception):
    """Takes back what was written to see whether it can be."""


class Store:
    """Thread-safe. Every method raises UnavailableError where the database cannot be read or written."""

    def __init__(self, database: Database, pseudonym_days: int = 0) -> None:
        self.database = database
        self.writes = Writes()
        self._pseudonyms = Pseudonyms(database, pseudonym_days)

    @classmethod
    def open(cls, address: str, *, pseudonym_days: int = 0, missing_ok: bool = True) -> Store:
        """The store at a `sqlite:///path` or `postgresql://` URL, made or brought up to date.

        The ids of people become pseudonyms that change every so many days; 0 keeps ids as they come. Errors: those of
        `open_database`.
        """
        return cls(open_database(address, missing_ok=missing_ok), pseudonym_days)

    def close(self) -> None:
        self.database.close()

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that reads: all of it sees the store at one moment."""
        return self.database.reading()

    @contextmanager
    def writing(self, *, long: bool = False) -> Iterator[Connection]:
        """A transaction that writes: see `server.store.database.Database.writing`."""
        start = time.perf_counter()
        try:
            with self.database.writing(long=long) as connection:
                yield connection
        except UnavailableError:
            self.writes.failed.add(time.perf_counter() - start)
            raise
        self.writes.done.add(time.perf_counter() - start)

    def query(self, query_id: str) -> StoredQuery:
        """Raises NotFoundError for an id that was never given out."""
        with self.database.looking() as connection:
            row = connection.execute(select(queries).where(queries.c.query_id == query_id)).mappings().first()
        if row is None:
            raise unknown_query(query_id)
        return StoredQuery(row["query_id"], row["index"], row["text"], row["filter"])

    def marks(self, query_id: str) -> dict[str, Mark]:
        """What is believed about each document of a query after all events so far."""
        with self.database.looking() as connection:
            rows = connection.execute(
                select(events).where(events.c.query_id == query_id).order_by(events.c.event_id)
            ).mappings()
            return fold(event_of(row) for row in rows)

    def seen(self, query_id: str, clicked: Collection[str]) -> list[Seen]:
        """See `server.store.pages.seen`."""
        with self.reading() as connection:
            return seen(connection, query_id, clicked)

    def round(self, query_id: str, number: int | None = None) -> Round | None:
        """The round of this number, or the newest; None where there is none."""
        rows = select(rankings).where(rankings.c.query_id == query_id)
        newest = rows.order_by(rankings.c.round.desc()).limit(1)
        chosen = newest if number is None else rows.where(rankings.c.round == number)
        with self.database.looking() as connection:
            row = connection.execute(chosen).mappings().first()
        return None if row is None else round_of(row)

    def ranked(self, query_id: str, document: str) -> bool:
        """Whether any round of the query ranked this document."""
        with self.database.looking() as connection:
            rows = connection.execute(select(rankings.c.documents).where(rankings.c.query_id == query_id)).scalars()
            return any(document in unpacked(blob) for blob in rows)

    def add_round(
        self, query: StoredQuery, made: Round, page: Page, graded: Sequence[Event] = (), *, new: bool
    ) -> Round:
        """Record one more round of a query with its first page shown and the feedback that came with it: all or none.

        `new` records the query itself too. Returns the round with its number. Raises NotFoundError for a query that
        is neither new nor there.
        """
        known, row = self._pseudonyms.of(page), round_row(query.id, made)  # packed before others have to wait
        judged = [self._pseudonyms.of(event) for event in graded]
        with self._recording(query.id) as connection:
            return add_round(connection, query, made, row, known, judged, new=new)

    def add_page(self, query_id: str, number: int, page: Page) -> None:
        """Record another page shown of a round. Raises NotFoundError for an unknown query."""
        known = self._pseudonyms.of(page)
        with self._recording(query_id) as connection:
            add_page(connection, query_id, number, known)

    def add_event(self, event: Event) -> tuple[int, bool]:
        """Record an event; returns its id and whether it had been recorded before under its idempotency key.

        Raises NotFoundError for an unknown query and ConflictError where the key belongs to a different event.
        """
        known = self._pseudonyms.of(event)
        with self._recording(event.query_id) as connection:
            return add_event(self.database, connection, known)

    def add_events(self, many: Sequence[Event]) -> list[tuple[int, bool] | ClickwiseError]:
        """Record events together; for each what `add_event` gives, or the error that it would raise."""
        known = [self._pseudonyms.of(event) for event in many]
        # In the order of their keys, so that two who send the same events never wait for each other.
        return self._together(known, lambda event: event.idempotency_key or "", partial(add_event, self.database))

    def add_queries(self, many: Sequence[Asked]) -> list[bool | ClickwiseError]:
        """Record queries together, each with its one ranking and page, as another service has answered it. For
        each whether it is new: False where the same query is there already; a ConflictError where its id belongs to
        another question."""
        known = [(query, made, round_row(query.id, made), self._pseudonyms.of(page)) for query, made, page in many]
        return self._together(
            known, lambda one: one[0].id, lambda connection, one: add_query(self.database, connection, *one)
        )

    def _together(
        self, many: Sequence[T], key: Callable[[T], str], add: Callable[[Connection, T], R]
    ) -> list[R | ClickwiseError]:
        """Add all in the order of a key, a thousand in one commit. For each what came of it, or the error."""
        outcomes: dict[int, R | ClickwiseError] = {}
        order = sorted(range(len(many)), key=lambda number: key(many[number]))
        for start in range(0, len(order), MOST_TOGETHER):
            with self.writing(long=True) as connection:
                for number in order[start : start + MOST_TOGETHER]:
                    try:
                        outcomes[number] = add(connection, many[number])
                    except (NotFoundError, ConflictError) as error:
                        outcomes[number] = error
        return [outcomes[number] for number in range(len(many))]

    def erase(self, person: str) -> Erased:
        """Forget a session, client or user: see `server.store.people.erase`."""
        return erase(self.database, person)

    def rehearse(self) -> None:
        """Write and read once and take all of it back: so the first request finds no cold path and no closed door.

        Raises UnavailableError where the store cannot be written.
        """
        query, made = StoredQuery("rehearsal", "", ""), Round(Ranking.empty(), "", "", "", "")
        with suppress(_Rehearsed), self.database.writing() as connection:
            add_round(connection, query, made, round_row(query.id, made), Page(0, ()), new=True)
            add_event(self.database, connection, Event(query.id, "", "click", idempotency_key="rehearsal"))
            raise _Rehearsed
        self.marks(query.id)
        self.round(query.id)

    @contextmanager
    def _recording(self, query_id: str) -> Iterator[Connection]:
        """A transaction that writes about one query, which somebody may just be erasing."""
        try:
            with self.writing() as connection:
                yield connection
        except exc.IntegrityError as error:
            if "foreign key" in str(error.orig).lower():
                raise unknown_query(query_id) from None
            raise

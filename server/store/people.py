"""People in the store: their ids as pseudonyms, and their right to be forgotten.

A session, client or user id is stored as its HMAC-SHA-256 under a secret salt (RFC 2104), cut to 128 bits. The salt
changes every `days`: within them the pages of one person can be told to be one person's, beyond them not. Salts stay in
the store as long as pages and events that they named, because erasing a person means finding their pseudonyms; a day
after the last of these is pruned its salt goes too, and nobody can tell any more whose it was.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, insert, or_, select, true, union

from server.events import Event
from server.store import removals
from server.store.database import Database
from server.store.records import Erased, Page
from server.store.removals import remove_some
from server.store.rows import now_ms
from server.store.tables import events, impressions, queries, rankings, salts

DAY_MS: Final = 24 * 3600 * 1000
_BATCH: Final = 100
"""Queries whose last rows go in one transaction."""
_ALL: Final = true()
Named = TypeVar("Named", Page, Event)


class Pseudonyms:
    """Gives pages and events their pseudonyms. `days` is how long one salt is used; with 0 ids are stored as they come.
    Thread-safe."""

    def __init__(self, database: Database, days: int) -> None:
        self._database, self._lasts_ms = database, days * DAY_MS
        self._salt_now = b""
        self._until_ms = 0  # when to look for another
        self._turn = threading.Lock()

    def of(self, named: Named) -> Named:
        """The page or event with pseudonyms in place of ids."""
        if not self._lasts_ms or not (named.session_id or named.client_id or named.user_id):
            return named
        salt = self._salt()
        return replace(
            named,
            session_id=named.session_id and pseudonym(named.session_id, salt),
            client_id=named.client_id and pseudonym(named.client_id, salt),
            user_id=named.user_id and pseudonym(named.user_id, salt),
        )

    def _salt(self) -> bytes:
        with self._turn:
            if now_ms() >= self._until_ms:
                self._salt_now, self._until_ms = self._newest()
            return self._salt_now

    def _newest(self) -> tuple[bytes, int]:
        """The newest salt of the store, or a new one where that has done its time, and until when it is to be used. All
        replicas agree on it, from the next midnight on also those whose `days` are others."""
        newest = select(salts.c.started_ms, salts.c.salt).order_by(salts.c.started_ms.desc()).limit(1)
        with self._database.writing() as connection:
            self._database.claim(connection, "salts")
            today = now_ms() // DAY_MS * DAY_MS
            row = connection.execute(newest).first()
            if row is not None and now_ms() < row.started_ms + self._lasts_ms:
                return row.salt, min(row.started_ms + self._lasts_ms, today + DAY_MS)
            salt = secrets.token_bytes(32)
            connection.execute(insert(salts).values(started_ms=today, salt=salt))
            return salt, today + DAY_MS


def outlived(cutoff_ms: int) -> ColumnElement[bool]:
    """The salts that named nothing since then.

    A salt counts from the midnight before its first use, and every replica uses it from the next midnight on at the
    latest: until then the one before may have named, where `days` were shortened in the middle of a day.
    """
    successor = select(func.max(salts.c.started_ms)).where(salts.c.started_ms <= cutoff_ms - DAY_MS)
    return salts.c.started_ms < successor.scalar_subquery()


def pseudonym(person: str, salt: bytes) -> str:
    return hmac.new(salt, person.encode(), hashlib.sha256).hexdigest()[:32]


def erase(database: Database, person: str) -> Erased:
    """Remove every query that this session, client or user has been shown a page of, or is named by an event of, with
    all that belongs to it.

    Piece by piece: others write in between, and a kill leaves the rest. Raises UnavailableError where the store cannot
    be written. Asking again goes on where it stopped.
    """
    with database.reading() as connection:
        names = [person, *(pseudonym(person, salt) for salt in connection.execute(select(salts.c.salt)).scalars())]
    found = union(*(select(table.c.query_id).where(_names(table, names)) for table in (impressions, events)))
    theirs = select(queries.c.query_id).where(queries.c.query_id.in_(found))
    telling = select(func.min(events.c.event_id)).where(_names(events, names)).group_by(events.c.query_id)
    done = remove_queries(database, theirs, events.c.event_id.not_in(telling))
    database.compact()
    return done


def _names(table: Table, names: Sequence[str]) -> ColumnElement[bool]:
    return or_(*(column.in_(names) for column in (table.c.session_id, table.c.client_id, table.c.user_id)))


def remove_queries(database: Database, which: Select[Any], early: ColumnElement[bool] = _ALL) -> Erased:
    """Remove the queries of these ids with all that belongs to them. `early` are the events that may go before their
    query: all but those by which `which` finds it."""
    done = Erased()
    while True:
        with database.reading() as connection:
            wanted = connection.execute(which.limit(_BATCH)).scalars().all()
        if not wanted:
            return done
        # What there may be much of first. Pages, and an event that names the person, go with their queries: they are
        # what tells whose those are.
        for table, rows in ((events, early), (rankings, _ALL)):
            while removed := remove_some(database, table, table.c.query_id.in_(wanted) & rows):
                done += Erased(**{table.name: removed})
        with database.writing(long=True) as connection:
            done += _remove(connection, wanted)


def _remove(connection: Connection, query_ids: Sequence[str]) -> Erased:
    """Remove these queries with all that is left of them."""
    # The lock keeps out events and rounds that are just coming: they find no query afterwards.
    connection.execute(select(queries.c.query_id).where(queries.c.query_id.in_(query_ids)).with_for_update())
    removed = {
        table.name: connection.execute(delete(table).where(table.c.query_id.in_(query_ids))).rowcount
        for table in (events, impressions, rankings, queries)
    }
    removals.note(connection)
    return Erased(**removed)

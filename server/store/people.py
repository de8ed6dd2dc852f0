"""People in the store: their ids as pseudonyms, and their right to be forgotten.

A session, client or user id is stored as its HMAC-SHA-256 under a secret salt (RFC 2104), cut to 128 bits. The salt
changes every `days`: within them the pages of one person can be told to be one person's, beyond them not. Salts stay in
the store as long as pages that they named, because erasing a person means finding their pseudonyms; when the last such
page is pruned its salt goes too, and nobody can tell any more whose it was.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, insert, or_, select

from server.store import removals
from server.store.database import Database
from server.store.records import Erased, Page
from server.store.removals import remove_some
from server.store.rows import now_ms
from server.store.tables import events, impressions, queries, rankings, salts

DAY_MS: Final = 24 * 3600 * 1000
_BATCH: Final = 100
"""Queries whose last rows go in one transaction."""


class Pseudonyms:
    """Gives pages their pseudonyms. `days` is how long one salt is used; with 0 ids are stored as they come.
    Thread-safe."""

    def __init__(self, database: Database, days: int) -> None:
        self._database, self._lasts_ms = database, days * DAY_MS
        self._current: tuple[int, bytes] | None = None
        self._turn = threading.Lock()

    def of(self, page: Page) -> Page:
        """The page with pseudonyms in place of ids."""
        if not self._lasts_ms or not (page.session_id or page.client_id or page.user_id):
            return page
        salt = self._salt()
        return replace(
            page,
            session_id=page.session_id and pseudonym(page.session_id, salt),
            client_id=page.client_id and pseudonym(page.client_id, salt),
            user_id=page.user_id and pseudonym(page.user_id, salt),
        )

    def _salt(self) -> bytes:
        with self._turn:
            if self._current is None or now_ms() >= self._current[0] + self._lasts_ms:
                self._current = self._renewed()
            return self._current[1]

    def _renewed(self) -> tuple[int, bytes]:
        """The newest salt of the store, or a new one where that has done its time. All replicas agree on it."""
        newest = select(salts.c.started_ms, salts.c.salt).order_by(salts.c.started_ms.desc()).limit(1)
        with self._database.writing() as connection:
            self._database.claim(connection, "salts")
            row = connection.execute(newest).first()
            if row is not None and now_ms() < row.started_ms + self._lasts_ms:
                return row.started_ms, row.salt
            fresh = now_ms() // DAY_MS * DAY_MS, secrets.token_bytes(32)
            if row is not None and fresh[0] <= row.started_ms:  # a period that was shortened to less than is left of it
                return row.started_ms, row.salt
            connection.execute(insert(salts).values(started_ms=fresh[0], salt=fresh[1]))
            return fresh


def pseudonym(person: str, salt: bytes) -> str:
    return hmac.new(salt, person.encode(), hashlib.sha256).hexdigest()[:32]


def erase(database: Database, person: str) -> Erased:
    """Remove every query that this session, client or user has been shown a page of, with all that belongs to it.

    Piece by piece: others write in between, and a kill leaves the rest. Raises UnavailableError where the store cannot
    be written. Asking again goes on where it stopped.
    """
    with database.reading() as connection:
        names = [person, *(pseudonym(person, salt) for salt in connection.execute(select(salts.c.salt)).scalars())]
    people = (impressions.c.session_id, impressions.c.client_id, impressions.c.user_id)
    theirs = select(impressions.c.query_id).where(or_(*(column.in_(names) for column in people))).distinct()
    done = remove_queries(database, theirs)
    database.compact()
    return done


def remove_queries(database: Database, which: Select[Any]) -> Erased:
    """Remove the queries of these ids with all that belongs to them."""
    done = Erased()
    while True:
        with database.reading() as connection:
            wanted = connection.execute(which.limit(_BATCH)).scalars().all()
        if not wanted:
            return done
        # What there may be much of first. The pages go with their queries: they are what tells whose those are.
        for table in (events, rankings):
            while removed := remove_some(database, table, table.c.query_id.in_(wanted)):
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

"""How rounds, pages and events become rows, inside a transaction that somebody else ends.

Statements are made once: to put one together costs SQLAlchemy as much as to execute it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, RowMapping, bindparam, func, insert, select

from index.errors import ConflictError, NotFoundError
from server.events import Event
from server.store.database import Database
from server.store.records import Page, Round, StoredQuery
from server.store.rows import event_of, event_row, page_row, query_row
from server.store.tables import events, impressions, queries, rankings

_ASKED: Final[BindParameter[str]] = bindparam("asked")
_QUERY: Final = select(queries.c.query_id).where(queries.c.query_id == _ASKED)
_WHAT: Final = select(queries.c.index, queries.c.text).where(queries.c.query_id == _ASKED)
_LOCKED: Final = _QUERY.with_for_update(key_share=True)
_NEWEST_ROUND: Final = select(func.max(rankings.c.round)).where(rankings.c.query_id == _ASKED)
_ADD_QUERY: Final = insert(queries)
_ADD_ROUND: Final = insert(rankings)
_ADD_PAGE: Final = insert(impressions).returning(impressions.c.impression_id)
_ADD_EVENTS: Final = insert(events)
_NEWEST_PAGE: Final = select(func.max(impressions.c.impression_id)).where(impressions.c.query_id == _ASKED)
_ADD_EVENT: Final = insert(events).values(impression_id=_NEWEST_PAGE.scalar_subquery()).returning(events.c.event_id)
_SENT: Final = select(events).where(events.c.idempotency_key == bindparam("key"))


def add_round(
    connection: Connection,
    query: StoredQuery,
    made: Round,
    row: Mapping[str, Any],
    page: Page,
    graded: Sequence[Event] = (),
    *,
    new: bool,
) -> Round:
    """Add one more round, `row` but for its number, with its page and the feedback that came along. Gives the round
    with its number. Raises NotFoundError for a query that is neither new nor there."""
    newest = None
    if new:
        connection.execute(_ADD_QUERY, query_row(query))
    else:  # the lock is what numbers concurrent rounds; events go on beside it
        if connection.execute(_LOCKED, {"asked": query.id}).first() is None:
            raise unknown_query(query.id)
        newest = connection.execute(_NEWEST_ROUND, {"asked": query.id}).scalar_one()
    numbered = replace(made, number=(newest or 0) + 1)
    connection.execute(_ADD_ROUND, {**row, "round": numbered.number})
    page_id = connection.execute(_ADD_PAGE, page_row(query.id, numbered.number, page)).scalar_one()
    if graded:
        connection.execute(_ADD_EVENTS, [{**event_row(event), "impression_id": page_id} for event in graded])
    return numbered


def add_query(
    database: Database, connection: Connection, query: StoredQuery, made: Round, row: Mapping[str, Any], page: Page
) -> bool:
    """Add a query with its one ranking and page; False where the same query is there already.

    Raises ConflictError where its id belongs to another question.
    """
    fresh = database.insert_new(queries).returning(queries.c.query_id)
    if connection.execute(fresh, query_row(query)).first() is None:
        there = connection.execute(_WHAT, {"asked": query.id}).one()
        if tuple(there) != (query.index, query.text):
            raise ConflictError(f"The query_id {query.id!r} belongs to another question.", "Use an id of its own.")
        return False
    connection.execute(_ADD_ROUND, {**row, "round": 1})
    add_page(connection, query.id, 1, page)
    return True


def add_page(connection: Connection, query_id: str, number: int, page: Page) -> None:
    """Add another page shown of a round."""
    connection.execute(_ADD_PAGE, page_row(query_id, number, page))


def add_event(database: Database, connection: Connection, event: Event) -> tuple[int, bool]:
    """Add an event unless its idempotency key is there: its id, and whether it was. Raises NotFoundError for an unknown
    query and ConflictError where the key belongs to a different event."""
    if event.idempotency_key is not None:
        database.claim(connection, f"event:{event.idempotency_key}")
        row = connection.execute(_SENT, {"key": event.idempotency_key}).mappings().first()
        if row is not None:
            return _same(row, event), True
    if connection.execute(_QUERY, {"asked": event.query_id}).first() is None:
        raise unknown_query(event.query_id)
    added = connection.execute(_ADD_EVENT, {**event_row(event), "asked": event.query_id})
    return int(added.scalar_one()), False


def unknown_query(query_id: str) -> NotFoundError:
    return NotFoundError(f"There is no query {query_id!r}.", "Use the query_id of an answer to a search.")


def _same(row: RowMapping, event: Event) -> int:
    """The id of the recorded event, if it is the one sent again."""
    if event_of(row) != event:
        raise ConflictError(
            f"The idempotency key {event.idempotency_key!r} belongs to another event.", "Use a new key for every event."
        )
    return int(row["event_id"])

"""What is removed, by erasing a person or because it is old: piece by piece, so that others write in between.

How often rows of pages and events were removed is counted: whoever keeps sums of what he has read looks here whether
all of it is still there. The count goes up in the transaction that removes.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, tuple_, update

from server.store.database import Database
from server.store.tables import removed

PIECE: Final = 500
"""Rows removed in one transaction. Who writes meanwhile waits for one of them, some milliseconds."""


def remove_some(
    database: Database, table: Table, which: ColumnElement[bool], first: ColumnElement[int] | None = None
) -> int:
    """Remove at most PIECE of these rows, those with the lowest value of `first` before others. Gives how many."""
    key = table.primary_key.columns
    some = select(*key).where(which).limit(PIECE)
    with database.writing(long=True) as connection:
        count = connection.execute(
            delete(table).where(tuple_(*key).in_(some if first is None else some.order_by(first)))
        ).rowcount
        if count:
            note(connection)
        return count


def note(connection: Connection) -> None:
    """Count one more removal: the last statement of its transaction, since others wait for the row."""
    if not connection.execute(update(removed).values(times=removed.c.times + 1)).rowcount:
        connection.execute(insert(removed).values(times=1))


def count(connection: Connection) -> int:
    return connection.execute(select(removed.c.times)).scalar() or 0

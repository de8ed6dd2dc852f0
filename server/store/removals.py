"""How often rows of pages and events were removed: by erasing a person, or because they were old.

Whoever keeps sums of what he has read looks here whether all of it is still there. The count goes up in the transaction
that removes.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from server.store.tables import removed


def note(connection: Connection) -> None:
    """Count one more removal: the last statement of its transaction, since others wait for the row."""
    if not connection.execute(update(removed).values(times=removed.c.times + 1)).rowcount:
        connection.execute(insert(removed).values(times=1))


def count(connection: Connection) -> int:
    return connection.execute(select(removed.c.times)).scalar() or 0

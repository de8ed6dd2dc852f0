"""What is in a store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, inspect, select

from server.store import schema
from server.store.database import Database
from server.store.tables import events, impressions, queries, rankings, salts

_COUNTED: Final = (queries, rankings, impressions, events, salts)


@dataclass(frozen=True, slots=True)
class Contents:
    """`revision` is that of the schema, None before migrations, and `newest` what this Clickwise works with; `rows`
    counts per table; `oldest` and `latest` are the times of the first query and of the last query or event (UTC)."""

    where: str
    revision: str | None
    newest: str
    bytes: int
    rows: dict[str, int]
    oldest: str | None
    latest: str | None


def contents(database: Database) -> Contents:
    """Look into a store of any revision. Raises UnavailableError where it cannot be read."""
    with database.reading() as connection:
        there = [table for table in _COUNTED if inspect(connection).has_table(table.name)]
        rows = {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in there}
        times = [
            time
            for table in (queries, events)
            if table in there
            for time in connection.execute(select(func.min(table.c.received_ms), func.max(table.c.received_ms))).one()
            if time is not None
        ]
        return Contents(
            where=database.where,
            revision=schema.revision(connection),
            newest=schema.NEWEST,
            bytes=database.size(connection),
            rows=rows,
            oldest=_told(min(times)) if times else None,
            latest=_told(max(times)) if times else None,
        )


def _told(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")

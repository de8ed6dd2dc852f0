"""How long data is kept: rows older than a number of days go, whole weeks at once where the database can."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, func, select

from server.store.database import Database
from server.store.people import DAY_MS, outlived, remove_queries
from server.store.records import Erased
from server.store.removals import remove_some
from server.store.rows import now_ms
from server.store.tables import events, impressions, jobs, queries, rankings, salts

_TIMES: Final[dict[str, tuple[Table, ColumnElement[int]]]] = {
    "events": (events, events.c.received_ms),
    "impressions": (impressions, impressions.c.shown_ms),
    "rankings": (rankings, rankings.c.ranked_ms),
}


def prune(database: Database, days: int) -> Erased:
    """Remove what is older than `days` days: every ranking, impression and event by its own time, and a query, with
    whatever is left of it, when it has no ranking any more. Then the salts that named nobody who is left, and jobs that
    ended before.

    Raises UnavailableError where the store cannot be written; asking again goes on where it stopped.
    """
    cutoff = now_ms() - days * DAY_MS
    done = database.drop_before(cutoff)
    for name, (table, time) in _TIMES.items():
        while removed := remove_some(database, table, time < cutoff, first=time):
            done += Erased(**{name: removed})
    done += remove_queries(database, _forsaken(cutoff))
    with database.writing() as connection:
        connection.execute(delete(salts).where(outlived(cutoff)))
        connection.execute(delete(jobs).where(jobs.c.finished_ms < cutoff))
    database.compact()
    return done


def prunable(database: Database, days: int) -> Erased:
    """What `prune` would remove by its time; queries are those that would have no ranking any more."""
    cutoff = now_ms() - days * DAY_MS
    kept = exists().where(rankings.c.query_id == queries.c.query_id, rankings.c.ranked_ms >= cutoff)
    gone = select(queries.c.query_id).where(queries.c.received_ms < cutoff, ~kept)
    with database.reading() as connection:
        counts = {
            name: _count(connection, select(table).where(time < cutoff)) for name, (table, time) in _TIMES.items()
        }
        return Erased(queries=_count(connection, gone), **counts)


def _count(connection: Connection, rows: Select[Any]) -> int:
    return connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one()


def _forsaken(cutoff: int) -> Select[Any]:
    """Old queries without a ranking."""
    ranked = exists().where(rankings.c.query_id == queries.c.query_id)
    return select(queries.c.query_id).where(queries.c.received_ms < cutoff, ~ranked)

"""Weekly partitions on PostgreSQL: what grows with traffic lies in one table a week, so that old data goes by dropping
tables, at once and without a trace, instead of row by row.

A partition is named after its Monday (UTC), as in events_20261123, and holds the milliseconds from then to the next
Monday. It is made beside the partitioned table and attached to it, and detached before it is dropped: neither waits for
readers or writers (PostgreSQL's manual, "Table Partitioning"). There is no partition for everything else: it would have
to be searched, under lock, for every new week.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, text

from server.store import removals
from server.store.records import Erased

if TYPE_CHECKING:
    from server.store.postgres import Postgres

WEEK_MS: Final = 7 * 24 * 3600 * 1000
_MONDAY_MS: Final = 4 * 24 * 3600 * 1000  # 1970-01-05
PARTITIONED: Final = {"rankings": "ranked_ms", "impressions": "shown_ms", "events": "received_ms"}
"""Table -> the column by which it is partitioned."""


def monday(ms: int) -> int:
    """The beginning of the week of a time, both in milliseconds since 1970 (UTC)."""
    return (ms - _MONDAY_MS) // WEEK_MS * WEEK_MS + _MONDAY_MS


def name_of(table: str, start: int) -> str:
    return f"{table}_{datetime.fromtimestamp(start / 1000, UTC):%Y%m%d}"


def _start_of(name: str) -> int:
    start = datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC)
    return round(start.timestamp() * 1000)


class Weeks:
    """The partitions of one database. Thread-safe."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._made: set[int] = set()
        self._turn = threading.Lock()

    def make(self, ms: int) -> None:
        """Have the partitions of this time, and of the week after it, so that no request waits at midnight."""
        start = monday(ms)
        if start in self._made:
            return
        with self._turn, self._database.errors(), self._database.engine.begin() as connection:
            self._database.claim(connection, "weeks")
            for table in PARTITIONED:
                for week in (start, start + WEEK_MS):
                    _make(connection, table, week)
        self._made.add(start)

    def drop_before(self, ms: int) -> Erased:
        """Drop every partition that ends before this time; returns how many rows were in them."""
        engine = self._database.engine.execution_options(isolation_level="AUTOCOMMIT")
        done = Erased()
        with self._database.errors(), engine.connect() as connection:
            for row in connection.execute(_PARTITIONS).all():
                if _start_of(row.name) + WEEK_MS > ms:
                    continue
                rows = connection.exec_driver_sql(f"SELECT count(*) FROM {row.name}").scalar_one()
                if row.attached:  # otherwise somebody was stopped just before the drop
                    how = "FINALIZE" if row.pending else "CONCURRENTLY"
                    connection.exec_driver_sql(f"ALTER TABLE {row.parent} DETACH PARTITION {row.name} {how}")
                with self._database.engine.begin() as dropping:  # both or none: a drop that is made up for counts too
                    dropping.exec_driver_sql(f"DROP TABLE {row.name}")
                    removals.note(dropping)
                done += Erased(**{row.parent: rows})
        self._made.clear()  # look again before the next write
        return done


_PARTITIONS: Final = text("""
    SELECT relname AS name, split_part(relname, '_', 1) AS parent, inhrelid IS NOT NULL AS attached,
        inhdetachpending AS pending
    FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
        AND relname ~ '^(events|impressions|rankings)_[0-9]{8}$'
    ORDER BY right(relname, 8), relname
""")


def _make(connection: Connection, table: str, start: int) -> None:
    name = name_of(table, start)
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is not None:
        return
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)"))
    if table == "events":
        connection.execute(text(f"CREATE UNIQUE INDEX {name}_once ON {name} (idempotency_key)"))
    connection.execute(
        text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({start + WEEK_MS})")
    )

"""Queries, rankings, impressions and events; stores of the schema versions 1 and 2 (SQLite, before Alembic) taken over.

PostgreSQL: whatever grows with traffic is partitioned by time. Its partitions, a week each, are made when they are
needed, as `server.store.weeks` describes.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    text,
)

revision = "0001"
down_revision = None

_PEOPLE = ("session_id", "client_id", "user_id")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _queries()
        _rankings("ranked_ms")
        _impressions("shown_ms")
        _events("received_ms")
        return
    version = op.get_bind().exec_driver_sql("PRAGMA user_version").scalar_one()
    if version == 0:
        _queries()
        _rankings()
        _impressions()
        _events()
    else:
        _take_over(version)
    op.execute("CREATE UNIQUE INDEX ix_events_idempotency_key ON events (idempotency_key)")
    op.execute("PRAGMA user_version = 3")  # a Clickwise before Alembic refuses the store, and says so


def _take_over(version: int) -> None:
    if version == 1:
        op.add_column("impressions", Column("arm", String))
        op.add_column("impressions", Column("credits", Text))
    op.create_index("ix_queries_received_ms", "queries", ["received_ms"])
    op.create_index("ix_rankings_ranked_ms", "rankings", ["ranked_ms"])
    # Only a copy loses a constraint here: a page's foreign key to its ranking, which goes before it does when old data
    # is removed, and the unnamed unique key of events.
    for name, make in (("impressions", _impressions), ("events", _events)):
        op.execute(f"DROP INDEX ix_{name}_query_id")
        op.rename_table(name, f"old_{name}")
        make()
        columns = [f'"{row[1]}"' for row in op.get_bind().exec_driver_sql(f"PRAGMA table_info(old_{name})")]
        listed = ", ".join(columns)
        op.execute(f"INSERT INTO {name} ({listed}) SELECT {listed} FROM old_{name}")
        op.drop_table(f"old_{name}")


def _query_id() -> Column[str]:
    return Column("query_id", String, ForeignKey("queries.query_id"), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), autoincrement=True, nullable=False)


def _table(name: str, key: list[str], time: str | None, *columns: Column[Any]) -> None:
    """A table, partitioned by `time` where one is named: PostgreSQL wants it in the primary key then."""
    options: dict[str, Any] = {"postgresql_partition_by": f"RANGE ({time})"} if time else {}
    keys = PrimaryKeyConstraint(*key, *([time] if time else []))
    op.create_table(name, *columns, keys, sqlite_autoincrement=len(key) == 1, **options)


def _queries() -> None:
    op.create_table(
        "queries",
        Column("query_id", String, primary_key=True),
        Column("index", String, nullable=False),
        Column("text", Text, nullable=False),
        Column("filter", Text),
        Column("received_ms", BigInteger, nullable=False),
    )
    op.create_index("ix_queries_received_ms", "queries", ["received_ms"])


def _rankings(time: str | None = None) -> None:
    _table(
        "rankings",
        ["query_id", "round"],
        time,
        _query_id(),
        Column("round", Integer, nullable=False, autoincrement=False),
        Column("pipeline", String, nullable=False),
        Column("version", String, nullable=False),
        Column("generation", String, nullable=False),
        Column("score_kind", String, nullable=False),
        Column("documents", LargeBinary, nullable=False),
        Column("scores", LargeBinary, nullable=False),
        Column("stages", LargeBinary),
        Column("feedback", Text, nullable=False),
        Column("ranked_ms", BigInteger, nullable=False),
    )
    op.create_index("ix_rankings_ranked_ms", "rankings", ["ranked_ms"])


def _impressions(time: str | None = None) -> None:
    _table(
        "impressions",
        ["impression_id"],
        time,
        _number("impression_id"),
        _query_id(),
        Column("round", Integer, nullable=False),
        Column("offset", Integer, nullable=False),
        Column("documents", Text, nullable=False),
        Column("session_id", String),
        Column("client_id", String),
        Column("user_id", String),
        Column("propensities", Text),
        Column("shown_ms", BigInteger, nullable=False),
        Column("arm", String),
        Column("credits", Text),
    )
    op.create_index("ix_impressions_query_id", "impressions", ["query_id"])
    op.create_index("ix_impressions_shown_ms", "impressions", ["shown_ms"])
    for person in _PEOPLE:
        told = text(f"{person} IS NOT NULL")
        op.create_index(f"ix_impressions_{person}", "impressions", [person], sqlite_where=told, postgresql_where=told)


def _events(time: str | None = None) -> None:
    _table(
        "events",
        ["event_id"],
        time,
        _number("event_id"),
        _query_id(),
        Column("document", String, nullable=False),
        Column("kind", String, nullable=False),
        Column("relevance", Float),
        Column("weight", Float),
        Column("position", Integer),
        Column("dwell_ms", BigInteger),
        Column("idempotency_key", String),
        Column("received_ms", BigInteger, nullable=False),
        Column("impression_id", BigInteger),
    )
    op.create_index("ix_events_query_id", "events", ["query_id"])
    op.create_index("ix_events_received_ms", "events", ["received_ms"])

"""The tables of the store, as statements see them. The migrations make them; `server.store` tells how to add one.

On PostgreSQL rankings, impressions and events are partitioned by week, each by its own time: `server.store.weeks`. So
their primary keys hold the time there, and no foreign key leads to them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData()
_Counted: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in INTEGER columns only


def _query_id(*, primary: bool = False, indexed: bool = False) -> Column[str]:
    key = ForeignKey("queries.query_id")
    return Column("query_id", String, key, primary_key=primary, index=indexed, nullable=False)


queries: Final = Table(
    "queries",
    METADATA,
    Column("query_id", String, primary_key=True),
    Column("index", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("filter", Text),
    Column("received_ms", BigInteger, nullable=False, index=True),
)
"""One row per question asked of one index."""

rankings: Final = Table(
    "rankings",
    METADATA,
    _query_id(primary=True),
    Column("round", Integer, primary_key=True),
    Column("pipeline", String, nullable=False),
    Column("version", String, nullable=False),
    Column("generation", String, nullable=False),
    Column("score_kind", String, nullable=False),
    Column("documents", LargeBinary, nullable=False),  # zlib of a JSON list of ids
    Column("scores", LargeBinary, nullable=False),  # float32, little endian
    Column("stages", LargeBinary),  # zlib of JSON {stage: [ids, scores]}; only of explained rounds
    Column("feedback", Text, nullable=False),  # JSON [[document, kind, relevance, weight]]: what this round knew
    Column("ranked_ms", BigInteger, nullable=False, index=True),
    Column("took_ms", Float),  # how long the pipeline took; NULL in rankings of earlier schema versions
)
"""One row per round: round 1 is the first ranking of a query, and each re-ranking by feedback is one more."""

impressions: Final = Table(
    "impressions",
    METADATA,
    Column("impression_id", _Counted, primary_key=True, autoincrement=True),  # never used twice; the order of pages
    _query_id(indexed=True),
    Column("round", Integer, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("documents", Text, nullable=False),  # JSON list of ids, in the order shown
    Column("session_id", String),
    Column("client_id", String),
    Column("user_id", String),
    Column("propensities", Text),  # JSON list; NULL: the page was chosen deterministically
    Column("shown_ms", BigInteger, nullable=False, index=True),
    Column("arm", String),  # what an experiment did; NULL: there was none
    Column("credits", Text),  # JSON list: what a click on each document counts in a duel; NULL: there was none
)
"""One row per page shown."""

events: Final = Table(
    "events",
    METADATA,
    Column("event_id", _Counted, primary_key=True, autoincrement=True),  # also the order in which events came
    _query_id(indexed=True),
    Column("document", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("relevance", Float),
    Column("weight", Float),
    Column("position", Integer),
    Column("dwell_ms", BigInteger),
    Column("idempotency_key", String),  # unique: on PostgreSQL in each week, and between weeks by `claim`
    Column("received_ms", BigInteger, nullable=False, index=True),
    Column("impression_id", BigInteger),  # the query's newest page by then; NULL in events of schema version 2
    Column("session_id", String),  # these three of events that name their own person
    Column("client_id", String),
    Column("user_id", String),
)
"""One row per act of a person."""

for _table in (impressions, events):
    for _person in ("session_id", "client_id", "user_id"):
        _told = _table.c[_person].is_not(None)  # most pages tell one of them, most events none
        Index(f"ix_{_table.name}_{_person}", _table.c[_person], sqlite_where=_told, postgresql_where=_told)

salts: Final = Table(
    "salts",
    METADATA,
    Column("started_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("salt", LargeBinary, nullable=False),
)
"""The secrets that turn ids into pseudonyms, each from its day on; `server.store.people`."""

removed: Final = Table("removed", METADATA, Column("times", BigInteger, nullable=False))
"""One row: how often anything was removed; `server.store.removals`."""

jobs: Final = Table(
    "jobs",
    METADATA,
    Column("job_id", _Counted, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("request", Text, nullable=False),  # the JSON of a `server.schemas_jobs` request
    Column("state", String, nullable=False),  # `server.schemas_jobs.State`
    Column("idempotency_key", String),
    Column("created_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),  # queued: not before; running: the end of the lease
    Column("attempts", Integer, nullable=False),
    Column("worker", String),  # who has the lease
    Column("cancelling", Boolean, nullable=False),  # somebody wants it to end
    Column("progress", Text),  # JSON
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("result", Text),  # JSON
    Column("problem", Text),  # JSON {kind, message, advice}: why it failed, or why the last attempt did
    Index("ix_jobs_state", "state", "due_ms"),
    Index("ix_jobs_idempotency_key", "idempotency_key", unique=True),
)
"""One row per job that was asked for: the queue, and what came of it."""

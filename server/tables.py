"""The tables of the store. A change here is a new SCHEMA_VERSION and a step in `server.sqlite.prepare`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

SCHEMA_VERSION: Final = 2
METADATA: Final = MetaData()


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
    Column("received_ms", BigInteger, nullable=False),
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
    Column("ranked_ms", BigInteger, nullable=False),
)
"""One row per round: round 1 is the first ranking of a query, and each re-ranking by feedback is one more."""

impressions: Final = Table(
    "impressions",
    METADATA,
    Column("impression_id", Integer, primary_key=True, autoincrement=True),
    _query_id(indexed=True),
    Column("round", Integer, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("documents", Text, nullable=False),  # JSON list of ids, in the order shown
    Column("session_id", String),
    Column("user_id", String),
    Column("propensities", Text),  # JSON list; NULL: the page was chosen deterministically
    Column("shown_ms", BigInteger, nullable=False),
    Column("arm", String),  # what an experiment did; NULL: there was none
    Column("credits", Text),  # JSON list: what a click on each document counts in a duel; NULL: there was none
    ForeignKeyConstraint(["query_id", "round"], ["rankings.query_id", "rankings.round"]),
    sqlite_autoincrement=True,  # an id is never used twice, also after a deletion
)
"""One row per page shown."""

events: Final = Table(
    "events",
    METADATA,
    Column("event_id", Integer, primary_key=True, autoincrement=True),  # also the order in which events came
    _query_id(indexed=True),
    Column("document", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("relevance", Float),
    Column("weight", Float),
    Column("position", Integer),
    Column("dwell_ms", BigInteger),
    Column("idempotency_key", String, unique=True),
    Column("received_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""One row per act of a person."""

"""The queue of jobs."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "jobs",
        Column("job_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("kind", String, nullable=False),
        Column("request", Text, nullable=False),
        Column("state", String, nullable=False),
        Column("idempotency_key", String),
        Column("created_ms", BigInteger, nullable=False),
        Column("due_ms", BigInteger, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("worker", String),
        Column("cancelling", Boolean, nullable=False),
        Column("progress", Text),
        Column("started_ms", BigInteger),
        Column("finished_ms", BigInteger),
        Column("result", Text),
        Column("problem", Text),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "due_ms"])
    op.create_index("ix_jobs_idempotency_key", "jobs", ["idempotency_key"], unique=True)

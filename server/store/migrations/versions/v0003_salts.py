"""Salts, by which the ids of people become pseudonyms."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "salts",
        Column("started_ms", BigInteger, primary_key=True, autoincrement=False),
        Column("salt", LargeBinary, nullable=False),
    )

"""Releases: which generations, models and click models serve."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Float, Integer, String

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "releases",
        Column("release_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("kind", String, nullable=False),  # index, model or click-model
        Column("name", String, nullable=False),  # of the index or the model; empty for click models
        Column("target", String, nullable=False),
        Column("share", Float, nullable=False),
        Column("released_ms", BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )

"""API keys."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, String

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "keys",
        Column("key_id", String, primary_key=True),
        Column("digest", String, nullable=False),  # hexadecimal SHA-256 of the key
        Column("name", String, nullable=False),
        Column("scopes", String, nullable=False),  # separated by commas
        Column("created_ms", BigInteger, nullable=False),
        Column("expires_ms", BigInteger),  # NULL: never
        Column("revoked_ms", BigInteger),  # NULL: not
    )

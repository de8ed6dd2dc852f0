"""How often rows were removed."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    removed = op.create_table("removed", Column("times", BigInteger, nullable=False))
    op.bulk_insert(removed, [{"times": 0}])

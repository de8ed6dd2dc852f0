"""How long each ranking took, for the pages that show latency over time; NULL for rankings made before."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("rankings", Column("took_ms", Float))

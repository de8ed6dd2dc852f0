"""Whose act an event is, where it names its own person; NULL in events recorded before."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String, text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for person in ("session_id", "client_id", "user_id"):
        op.add_column("events", Column(person, String))
        told = text(f"{person} IS NOT NULL")
        op.create_index(f"ix_events_{person}", "events", [person], sqlite_where=told, postgresql_where=told)

"""What goes over the wire when User Behavior Insights come in: how many records became what."""

from __future__ import annotations

from pydantic import Field

from server.schemas import Answer


class Rejected(Answer):
    """A record that could not be used: its number in the body, from 1, and why."""

    record: int
    field: str | None
    detail: str


class UbiAnswer(Answer):
    """All that is `recorded` is durable."""

    query_id: str | None = Field(description="of a body with one query: its own, or the one that it was given")
    recorded: int
    duplicates: int = Field(description="records that had been sent before")
    ignored: int = Field(description="events that are no clicks on a document of a query")
    rejected: int
    errors: list[Rejected] = Field(description="the first hundred rejected ones")
    notes: list[str] = Field(description="from which number ordinals count, and what was left aside")

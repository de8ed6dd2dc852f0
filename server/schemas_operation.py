"""What goes over the wire for operators: keys and health. See `server.schemas` for the rest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from server.keys import Scope
from server.schemas import Answer, Body, ShortText


class KeyRequest(Body):
    """A key to make: a name by which to know it again, and what it may do."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "the shop's pages", "scopes": ["read", "feedback"], "days": 365}]}
    )

    name: ShortText
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)]
    days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        default=None, description="for how long it is valid; without an end where left out"
    )


class KeyInfo(Answer):
    """What is known of a key; times in UTC. `id` is what logs call it."""

    id: str
    name: str
    scopes: list[Scope]
    created: str
    expires: str | None
    revoked: str | None
    valid: bool


class KeyAnswer(KeyInfo):
    """A key that was made. `key` is told here and never again."""

    key: str


class KeysAnswer(Answer):
    keys: list[KeyInfo]


class WhoAmIAnswer(Answer):
    """What the caller may do; `key_id` and `name` are null where no keys are asked for."""

    authentication: bool
    key_id: str | None
    name: str | None
    scopes: list[Scope]
    version: str


class HealthAnswer(Answer):
    status: Literal["ok", "ready"]


class ReadyAnswer(HealthAnswer):
    """The service can answer; `checks` tells which of its parts were looked at: store, indexes, models."""

    checks: dict[str, Literal["ok"]]

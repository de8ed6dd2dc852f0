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


Named = Annotated[ShortText, Field(pattern=r"^[^\x00]*$")]
"""A name or a path: no file system has NUL in one."""


class Activation(Body):
    """From now on `share` of the sessions get this: all, some (a canary), or none (the canary is taken back)."""

    share: float = Field(default=1.0, ge=0, le=1, description="of the sessions; each stays on its side")


class IndexActivation(Activation):
    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"generation": "000001"}, {"share": 0.1}]})

    generation: ShortText | None = Field(
        default=None, description="which generation, an older one to roll back; the newest on disk where left out"
    )


class ModelActivation(Activation):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "models/trained-on-clicks/delta.safetensors", "share": 0.1}]}
    )

    model: Named = Field(description="a name or path of a model, as pipelines name them")


class ClickModelActivation(Activation):
    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "published"}]})

    model: Named = Field(description="what the setting click_model can be: published, off or a folder")


class ReleaseInfo(Answer):
    """One activation: since when (UTC), of what, for which share of the sessions."""

    id: int
    kind: Literal["index", "model", "click-model"]
    name: str
    target: str
    share: float
    released: str


class ReleasesAnswer(Answer):
    """What was activated and serves now; what is not named here is as the settings say."""

    releases: list[ReleaseInfo]


class ReadyAnswer(HealthAnswer):
    """The service can answer; `checks` tells which of its parts were looked at: store, indexes, models."""

    checks: dict[str, Literal["ok"]]

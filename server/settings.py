"""Settings: everything that can be set about a service, typed. `server.configuration` reads them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from index.errors import InputError
from index.places import indexes_in, is_path

PREFIX: Final = "CLICKWISE_"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Settings(BaseSettings):
    """Everything that can be set about a running service. Sizes are in bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    config: Path | None = Field(default=None, description="the configuration file; a flag or the environment names it")
    home: Path = Field(default=Path(".clickwise"), description="where indexes and the store live")
    indexes: dict[Name, Path] = Field(
        default={}, description="name -> directory; empty: every folder under home/indexes"
    )
    default_index: Name | None = Field(default=None, description="the index of a search that names none")
    default_pipeline: str | None = Field(
        default=None,
        description="the pipeline of a search that names none; smoothed where the index has vectors, else bm25-qe",
    )
    pipelines: dict[str, Any] = Field(default={}, description="your own pipelines; only in the configuration file")
    store_url: str | None = Field(
        default=None,
        description="where impressions and events go: sqlite:///path or postgresql://user@host/database; default "
        "sqlite at home/store.db",
    )
    pseudonym_days: int = Field(
        default=30,
        ge=0,
        le=36_500,
        description="session, client and user ids are stored as pseudonyms that change every so many days; 0: as sent",
    )
    retention_days: int = Field(
        default=90, ge=1, le=36_500, description="what 'clickwise store prune' keeps of impressions and events"
    )
    job_roots: dict[Name, Path] = Field(
        default={}, description="name -> folder: where jobs may read and write, as NAME/path; none: no jobs"
    )
    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="the port to listen on; 0 takes any free one")
    threads: int = Field(
        default_factory=lambda: min(8, max(2, os.cpu_count() or 1)),  # more only wait for one another's Python
        ge=1,
        le=256,
        description="requests that are worked on at the same time; as many as there are processors, from 2 to 8",
    )
    max_waiting: int = Field(
        default=64, ge=0, description="requests that may wait for a thread before others are turned away"
    )
    max_deadline_ms: int = Field(
        default=10_000, ge=1, description="milliseconds after which a search is answered with what is ranked by then"
    )
    depth: int = Field(
        default=1000, ge=10, le=10_000, description="documents re-ranked, kept and paged through per round"
    )
    evaluations: Path | None = Field(
        default=None, description="the folder whose runs of 'clickwise eval' the pages show; default home/eval/runs"
    )
    click_model: str = Field(
        default="off",  # switched on where it wins: with a model fitted to one's own log it does
        description="how clicks become feedback: the folder of a model of 'clickwise clicks fit'; published, by how "
        "searchers are known to look at pages; or off, half a judgement each",
    )
    exploration: str | None = Field(
        default=None,
        description="how to shuffle a share of first pages, so that clicks tell propensities: shuffle:5, adjacent:10, "
        "pair:10 or plackett-luce:0.5:10",
    )
    exploration_share: float = Field(default=0.01, ge=0, le=1, description="the share of sessions that explore")
    interleaving: str | None = Field(
        default=None, description="two pipelines to compare on a share of first pages, as in fused:bm25-qe"
    )
    interleaving_method: Literal["team-draft", "balanced", "probabilistic"] = Field(
        default="team-draft", description="how the two pipelines share a page"
    )
    interleaving_share: float = Field(default=0.1, ge=0, le=1, description="the share of sessions that compare")
    shard_engine: str = Field(
        default="threads",
        description="where the shards of an index in shards are searched: threads, processes, ray or ray:ADDRESS",
    )
    shard_timeout_ms: int = Field(
        default=5_000, ge=1, description="how long a search waits for a shard; then it answers without its documents"
    )
    split: str | None = Field(
        default=None,
        description="two pipelines to compare by giving each to its own sessions, as in smoothed:fused; they are all "
        "sessions that neither explore nor are in a duel",
    )
    split_share: float = Field(default=0.5, ge=0, le=1, description="the share of those sessions with the second one")
    max_query_chars: int = Field(default=10_000, ge=1, description="longest query")
    max_body_bytes: int = Field(default=1_000_000, ge=1_000, description="largest body of a search or of feedback")
    max_document_bytes: int = Field(default=4_000_000, ge=1_000, description="largest document, as JSON")
    max_bulk_bytes: int = Field(default=64_000_000, ge=1_000, description="largest body of one bulk upsert")
    auth: Literal["auto", "on", "off"] = Field(
        default="auto", description="whether API keys are asked for; auto: unless the service listens on loopback only"
    )
    rate_limit: float | None = Field(
        default=None,
        gt=0,
        description="requests a second that a key (without keys, an address) may send to this process; none: no limit",
    )
    rate_burst: int | None = Field(
        default=None, ge=1, description="requests that may come at once before rate_limit counts; one second's worth"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="how much is logged; from info on, a line per request"
    )
    drain_seconds: float = Field(
        default=1.0,
        ge=0,
        le=600,
        description="seconds after SIGTERM in which /readyz says 503 and all else is answered",
    )
    grace_seconds: int = Field(
        default=30, ge=1, le=3_600, description="seconds that requests have to finish when the service ends"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="lines of text, or one JSON object a line")
    log_queries: bool = Field(default=False, description="tell in the line of a search what was searched for")
    traces: str | None = Field(
        default=None,
        pattern=r"^(console|https?://\S+)$",
        description="where OpenTelemetry traces go: the http:// address of an OTLP collector, or console",
    )

    @field_validator("exploration")
    @classmethod
    def _policy(cls, value: str | None) -> str | None:
        if value is not None:
            from ranking.clicks.exploration import parse_policy

            with _as_value_error():
                parse_policy(value)
        return value

    @field_validator("shard_engine")
    @classmethod
    def _shard_engine(cls, value: str) -> str:
        from index.sharded.workers import check_engine

        with _as_value_error():
            return check_engine(value)

    @field_validator("interleaving", "split")
    @classmethod
    def _duel(cls, value: str | None) -> str | None:
        if value is not None:
            from ranking.clicks.interleaving import Duel

            with _as_value_error():
                first, _, second = value.partition(":")
                Duel("team-draft", first, second)
        return value

    @property
    def authenticates(self) -> bool:
        """Whether callers need an API key."""
        return self.auth == "on" or (self.auth == "auto" and not is_loopback(self.host))

    @property
    def store_address(self) -> str:
        """The URL of the store, with the default filled in."""
        return self.store_url or f"sqlite:///{self.home / 'store.db'}"

    @property
    def evaluations_folder(self) -> Path:
        """Where the pages find runs, with the default filled in: where `clickwise eval run` leaves them."""
        return self.evaluations or self.home / "eval" / "runs"

    def index_paths(self) -> dict[str, Path]:
        """Every index that is named, or else every one under home/indexes, by name."""
        if self.indexes:
            return dict(sorted(self.indexes.items()))
        return indexes_in(self.home)

    def found_index(self, name: str) -> Path | None:
        """Where the index of this name is, None where `index_paths` has none of it: one look at the disk."""
        if self.indexes or is_path(name):
            return self.indexes.get(name)
        path = self.index_path(name)
        return path if os.path.exists(path / "current") else None  # also of names that no file can have

    def index_path(self, name: str) -> Path:
        """Where the index of this name is or would be."""
        return self.indexes.get(name, self.home / "indexes" / name)


def is_loopback(host: str) -> bool:
    """Whether this address is reached from this machine alone. A name counts as the network, `localhost` apart."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Errors of the house in the words that pydantic collects."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error)) from None

"""What the routes of operation answer. Times are ISO 8601 in UTC; a bucket is named by its begin."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.schemas import Answer


class Period(Answer):
    """The time that an answer is about, in buckets of `bucket_seconds`."""

    begin: str
    end: str
    bucket_seconds: int
    index: str | None


class TrafficPoint(Answer):
    """The rankings of one pipeline in one bucket. `rounds` are those that feedback asked for; quantiles are null where
    no time was recorded."""

    bucket: str
    pipeline: str
    searches: int
    rounds: int
    p50_ms: float | None
    p95_ms: float | None


class FeedbackPoint(Answer):
    """The events of one kind in one bucket."""

    bucket: str
    kind: str
    events: int


class ServedVersion(Answer):
    """A version of a pipeline on a generation of an index that has answered in the period."""

    index: str
    pipeline: str
    version: str
    generation: str
    rankings: int
    first: str
    last: str


class TrafficAnswer(Answer):
    period: Period
    searches: list[TrafficPoint]
    feedback: list[FeedbackPoint]
    versions: list[ServedVersion]


class RankClicks(Answer):
    """How often a rank was shown on first pages and clicked there, with a Wilson interval of the share (95%)."""

    rank: int
    shown: int
    clicks: int
    share: float
    low: float
    high: float


class QualityPoint(Answer):
    """How first pages of a pipeline did in one bucket: the share with a click, and the mean of 1 / the rank of the
    first clicked document (0 where nothing was clicked). `pipeline` tells pages apart that an experiment made: those of
    two pipelines together, those that explore, and those of a canary."""

    bucket: str
    pipeline: str
    pages: int
    clicked: float
    mrr: float


class RankPropensity(Answer):
    """How likely a rank is looked at, relative to rank 1; interval ends are null where the log is too small."""

    rank: int
    propensity: float
    low: float | None
    high: float | None


class PropensityInfo(Answer):
    """Whether the store's own pages can tell how likely each rank is looked at, and if so, the curve.

    `identified`: yes; `unsure`: yes, with warnings; `partly`: for the first ranks only; `not-identified`: nothing
    connects the ranks; `empty`: there are no clicks yet. `components` are the ranks that shared documents connect.
    """

    state: Literal["identified", "unsure", "partly", "not-identified", "empty"]
    method: str | None = None
    confidence: float = 0.95
    ranks: list[RankPropensity] = Field(default=[])
    components: list[list[int]] = Field(default=[])
    detail: str
    advice: str = ""
    warnings: list[str] = Field(default=[])


class ClicksAnswer(Answer):
    """What clicks on first pages say. `pages` were read; where the period has too many, `cut`, the newest ones."""

    period: Period
    pages: int
    cut: bool
    by_rank: list[RankClicks]
    quality: list[QualityPoint]
    propensity: PropensityInfo


class RecentError(Answer):
    """An answer of status 500 or above, or a line of the log at warning or above, of this process."""

    time: str
    level: Literal["warning", "error"]
    source: str = Field(description="the request as METHOD PATH, or the logger")
    message: str
    status: int | None = None
    request_id: str | None = None


class ErrorsAnswer(Answer):
    """The newest first. `since` is when this process began to watch."""

    since: str
    errors: list[RecentError]

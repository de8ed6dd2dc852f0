"""What goes over the wire about what there is to search, and about pipelines that are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.schemas import Answer


class IndexInfo(Answer):
    name: str
    default: bool
    documents: int
    generation: str
    created: str
    analyzer: str
    layout: str
    fields: dict[str, str] = Field(description="what filters can use: field -> keyword, number or date")
    vectors: bool
    encoder: str | None
    learned: list[str] = Field(description="what was learned on it: of metric, co-relevance and prior")
    problem: str | None = Field(default=None, description="what is wrong with it, though it answers from what is open")


class PipelineInfo(Answer):
    """`indexes`: index -> the pipeline's version on it; an index that lacks what the pipeline needs is left out."""

    name: str
    description: str
    stages: list[str]
    default_for: list[str] = Field(description="the indexes whose searches use it when they name none")
    indexes: dict[str, str]


class IndexesAnswer(Answer):
    indexes: list[IndexInfo]


class PipelinesAnswer(Answer):
    pipelines: list[PipelineInfo]


class DuelInfo(Answer):
    """Two pipelines that shared result pages. `preference` goes from -1 (all clicks for the second) to 1 (the first),
    with an interval; `winner` is null until it is sure. `p_value` and interval are valid whenever they are read."""

    index: str
    method: str
    first: str
    second: str
    pages: int
    clicked: int = Field(description="pages with a click: those that count")
    first_wins: int
    second_wins: int
    ties: int
    preference: float
    low: float
    high: float
    p_value: float
    winner: Literal["first", "second"] | None


class ArmInfo(Answer):
    """One side of a split: `mrr` is the mean reciprocal rank of a page's first click, 0 for a page without any."""

    name: str
    pages: int
    clicked: int = Field(description="pages with a click")
    clicks: int
    clicks_per_page: float
    mrr: float


class ExperimentInfo(Answer):
    """Two ways of ranking, each with its own sessions: the setting `split`, or a canary of a release.

    `difference` is the first arm's mrr less the second's over `pairs` of pages in the order in which they were shown,
    with an interval; `winner` is null until it is sure. `p_value` and interval are valid whenever they are read."""

    index: str
    experiment: str = Field(description="the two pipelines, or canary: and the number of its release")
    arms: list[ArmInfo]
    pairs: int
    difference: float
    low: float
    high: float
    p_value: float
    winner: Literal["first", "second"] | None


class ExperimentsAnswer(Answer):
    confidence: float
    experiments: list[ExperimentInfo]


class InterleavingAnswer(Answer):
    confidence: float
    duels: list[DuelInfo]

"""The reports of `clickwise eval`, as the pages show them. Their reader is handed in: no evaluation is known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from pydantic import JsonValue

from server.schemas import Answer

Values: TypeAlias = Mapping[str, Any]


class Evaluations(Protocol):
    """Reads the runs of one folder. All methods raise NotFoundError for a run, ranker or topic that is not there."""

    def runs(self) -> Sequence[Values]: ...

    def run(self, name: str) -> Values: ...

    def topics(self, name: str, first: str, second: str, measure: str = "") -> Values: ...

    def topic(
        self,
        name: str,
        topic: str,
        collection: str = "",
        rankers: Sequence[str] = (),
        k: int | None = None,
        depth: int = 20,
    ) -> Values: ...

    def compare(self, first: str, second: str, measure: str = "") -> Values: ...


class RunLine(Answer):
    """One run. `means` are those of `measure` over all collections by ranker, `topics` counts them by collection;
    `gain` is that of the best ranker of ours over the best of the paper's, null where one side is missing."""

    run: str
    name: str
    created: str
    measure: str
    means: dict[str, float]
    topics: dict[str, int]
    best_of_ours: str | None
    best_of_paper: str | None
    gain: float | None
    gain_interval: tuple[float, float] | None
    gain_p: float | None
    skipped: dict[str, str]


class RunsAnswer(Answer):
    """The newest first. `folder` is the setting `evaluations`."""

    folder: str
    runs: list[RunLine]


class TableColumn(Answer):
    name: str
    number: bool


class TableCell(Answer):
    """`mark` says what is remarkable about the cell, as in "+ p=.003"; `bold` cells stand out."""

    text: str
    value: JsonValue
    mark: str
    bold: bool


class TableAnswer(Answer):
    name: str
    caption: str
    notes: list[str]
    columns: list[TableColumn]
    rows: list[list[TableCell]]


class RunAnswer(RunLine):
    """A run with its tables, the main one first."""

    description: str
    baseline: str
    rankers: list[str]
    measures: list[str]
    k: list[int]
    tables: list[TableAnswer]


class TopicLine(Answer):
    collection: str
    topic: str
    query: str
    first: float
    second: float
    difference: float


class TopicsAnswer(Answer):
    """Two rankers topic by topic, where the first gains most at the top."""

    measure: str
    first: str
    second: str
    topics: list[TopicLine]


class FeedbackDocument(Answer):
    document: str
    relevance: float
    title: str


class RankedDocument(Answer):
    """`grade` is null for a document that nobody has judged."""

    document: str
    grade: int | None
    title: str


class TopicAnswer(Answer):
    """One topic: what was asked, the feedback that was given, and the rankings of some rankers."""

    collection: str
    topic: str
    query: str
    description: str
    narrative: str
    k: int
    feedback: list[FeedbackDocument]
    relevant_left: int
    lists: dict[str, list[RankedDocument]]

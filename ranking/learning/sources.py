"""The tasks that a command line asks for, one source after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from index.errors import InputError
from index.index import Index
from index.progress import track
from ranking.learning.mining import Mining, judged_tasks, keyword_tasks, title_tasks
from ranking.learning.tasks import Task


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many tasks of titles, and of each keyword field; the files of judgements and of clicks."""

    titles: int = 0
    keywords: Sequence[tuple[str, int]] = ()
    topics: Path | None = None
    qrels: Path | None = None
    relevant: int = 1
    clicks: Path | None = None
    click_model: Path | None = None


def mined(index: Index, wanted: Wanted, mining: Mining) -> Iterator[Task]:
    """The tasks. Raises InputError where nothing is asked for, or nothing comes of it."""
    if not (wanted.titles or wanted.keywords or wanted.qrels or wanted.clicks):
        raise InputError("No tasks are asked for.", "Use --titles, --keywords, --topics with --qrels, or --clicks.")
    made = 0
    for task in _all(index, wanted, mining):
        made += 1
        yield task
    if not made:
        raise InputError(
            f"Nothing in the index {index.name!r} makes a task.", "Check that ids and fields are those of this index."
        )


def _all(index: Index, wanted: Wanted, mining: Mining) -> Iterator[Task]:
    if wanted.titles:
        yield from track(title_tasks(index, wanted.titles, mining), "Titles", wanted.titles)
    for name, count in wanted.keywords:
        yield from track(keyword_tasks(index, name, count, mining=mining), f"Keywords: {name}", count)
    if wanted.topics is not None and wanted.qrels is not None:
        from ranking.learning.judged_topics import read_queries
        from ranking.qrels import read_qrels

        grades = {
            topic: {doc: float(grade >= wanted.relevant) for doc, grade in judged.items()}
            for topic, judged in read_qrels(wanted.qrels).items()
        }
        yield from track(judged_tasks(index, read_queries(wanted.topics), grades, mining), "Judgements", len(grades))
    if wanted.clicks is not None:
        from ranking.learning.click_tasks import read_soft_judgements

        soft = read_soft_judgements(wanted.clicks, wanted.click_model)
        topics = {query: query for query in soft.relevance if query.strip()}
        found = judged_tasks(index, topics, soft.relevance, mining, soft.weight, source="clicks")
        yield from track(found, "Clicks", len(topics))

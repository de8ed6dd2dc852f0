"""Collections of the package ir_datasets, by id: `irds:cord19/trec-covid`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from eval.digests import digest_of
from eval.formats.parts import Parts
from eval.topics import Topic
from index.errors import InputError, UnavailableError
from index.readers import read_documents
from index.readers.irds import PREFIX, open_dataset

_NAMES = {
    "title": ("title", "text", "query"),
    "description": ("description", "question"),
    "narrative": ("narrative",),
    "document": ("doc_id",),
}


def load(source: str, excluded: Counter[str]) -> Parts:
    """Topics and judgements of a dataset.

    Raises UnavailableError without the package or where the data cannot be fetched, NotFoundError for an unknown id,
    InputError for a dataset without topics and judgements.
    """
    name = source.removeprefix(PREFIX)
    dataset = open_dataset(name)
    if not dataset.has_queries() or not dataset.has_qrels():
        raise InputError(f"The dataset {name} has no topics with judgements.", "Name one that has, such as a split.")
    try:
        topics = {str(query.query_id): _topic(query) for query in dataset.queries_iter()}
        qrels = _qrels(dataset, excluded)
    except Exception as error:  # it downloads as it goes: whatever network, disk and parsers may raise
        raise UnavailableError(
            f"ir_datasets could not read {name}: {type(error).__name__}: {error}.",
            "Check the network, or download the collection as its documentation says.",
        ) from error
    return Parts(topics, qrels, lambda _: read_documents(source), digest_of(source))


def _topic(query: Any) -> Topic:
    parts = {
        part: next((str(getattr(query, name)) for name in names if getattr(query, name, None)), "")
        for part, names in _NAMES.items()
    }
    return Topic(str(query.query_id), **parts)


def _qrels(dataset: Any, excluded: Counter[str]) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for row in dataset.qrels_iter():
        judged = qrels.setdefault(str(row.query_id), {})
        if str(row.doc_id) in judged:
            excluded["judgements that repeat an earlier line"] += 1
        if row.relevance < 0:
            excluded["judgements of a grade below 0, taken as 0"] += 1
        judged[str(row.doc_id)] = max(int(row.relevance), 0)
    return qrels

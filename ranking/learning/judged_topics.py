"""Judged topics, of a folder in BEIR layout or from elsewhere, as what lies with an index is learned from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index.errors import InputError
from index.index import Index
from index.lexical import LexicalQuery
from index.progress import track
from index.readers.lines import read_lines
from ranking.learning.judged import Topic, Vectors

DEPTH = 200  # how many documents are retrieved per topic: its near misses are among them


def read_queries(path: Path) -> dict[str, str]:
    """Topic -> text, of a file of {"_id": ..., "text": ...} lines. Raises NotFoundError without it, InputError for
    another line."""
    queries: dict[str, str] = {}
    for number, line in read_lines(path):
        try:
            row = json.loads(line.encode())  # a byte that was no UTF-8 does not pass here
            queries[str(row["_id"])] = str(row["text"])
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path}, line {number} is no query.", 'Write {"_id": "1", "text": "..."}, in UTF-8.'
            ) from None
    return queries


@dataclass(frozen=True)
class Judgements:
    """Topic -> text, and topic -> document -> grade. `relevant` is the least grade that is relevant, `source` a word on
    where they come from, for the record. `complete`: what is not judged counts as not relevant, as in test collections;
    of clicks it is not known."""

    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    relevant: int = 1
    source: str = ""
    complete: bool = True


@dataclass(frozen=True)
class Located:
    """The documents of an index, their vectors (n, dimension), and judged topics with rows that point into them.
    `space` is the digest of the space that these vectors are in: what is learned of them belongs to it. So many judged
    documents are `missing` from the index."""

    space: str
    ids: Sequence[str]
    vectors: Vectors
    topics: Sequence[Topic]
    missing: int


def located(index: Index, judgements: Judgements, *, moved: bool = False) -> Located:
    """The judged topics of an index: in its conditioned vectors, or with `moved` as its metric moves them.

    Not relevant is what was judged so and, where judgements are complete, what BM25 retrieves and nobody judged; where
    they are not, topics are condensed. Raises InputError for an index without vectors, and where queries, judgements
    and documents have nothing in common.
    """
    queries, qrels = judgements.queries, judgements.qrels
    view = index.view()
    if view.vectors is None:
        raise InputError(f"The index {index.name!r} has no vectors.", "Build it with an encoder.")
    ids = sorted(view.lexical.live_ids())
    place = {doc: row for row, doc in enumerate(ids)}
    named = [topic for topic in sorted(qrels) if queries.get(topic, "").strip()]
    if qrels and not named:
        raise InputError("None of the judged topics has a query.", "See that queries and judgements belong together.")
    if named and not any(doc in place for topic in named for doc in qrels[topic]):
        raise InputError(
            f"None of the judged documents is in the index {index.name!r}.",
            "See that the judgements belong to this index.",
        )
    texts = [queries[topic] for topic in named]
    encoded = (
        view.vectors.condition(index.encode(texts)) if texts else np.zeros((0, view.vectors.dimension), np.float32)
    )
    vectors = view.vectors.take(ids)
    if moved:
        encoded, vectors = view.vectors.learned.moved(encoded), view.vectors.learned.moved(vectors)
    topics = []
    for topic, text, vector in zip(track(named, "Reading topics", len(named)), texts, encoded, strict=True):
        found = view.lexical.search(LexicalQuery(text=text), DEPTH).ids
        topics.append(_topic(vector, found, qrels[topic], place, judgements))
    space = view.vectors.prior_space if moved else view.vectors.space_digest
    missing = len({doc for topic in named for doc in qrels[topic]} - place.keys())
    return Located(space, ids, vectors, topics, missing)


def _topic(
    query: Vectors, found: Sequence[str], judged: Mapping[str, int], place: Mapping[str, int], judgements: Judgements
) -> Topic:
    known = [*found, *judged] if judgements.complete else [*(doc for doc in found if doc in judged), *judged]
    order = [doc for doc in dict.fromkeys(known) if doc in place]
    good = np.array([judged.get(doc, judgements.relevant - 1) >= judgements.relevant for doc in order], dtype=np.bool_)
    rows = np.array([place[doc] for doc in order], dtype=np.int64)
    return Topic(query, rows[good], rows[~good], not judgements.complete)

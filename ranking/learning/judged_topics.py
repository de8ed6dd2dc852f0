"""The topics of a folder in BEIR layout, as a metric or a prior is learned from them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from index.errors import InputError, NotFoundError
from index.index import Index
from index.lexical import LexicalQuery
from index.progress import track
from ranking.learning.judged import Topic, Vectors

DEPTH = 200  # how many documents are retrieved per topic: its near misses are among them


def read_queries(path: Path) -> dict[str, str]:
    """Topic -> text, of a file of {"_id": ..., "text": ...} lines."""
    queries: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            queries[str(row["_id"])] = str(row["text"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}, line {number} is no query.", 'Write {"_id": "1", "text": "..."}.') from None
    return queries


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Topic -> document -> grade, of a file of topic, tab, document, tab, grade; a line of headings may come first."""
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in enumerate(_lines(path), start=1):
        parts = line.split("\t")
        try:
            topic, document, grade = parts
            judged[topic][document] = int(grade)
        except ValueError:
            if number > 1:
                raise InputError(
                    f"{path}, line {number} is no judgement.", "Write topic, tab, document, tab, grade."
                ) from None
    return dict(judged)


def topics_of(
    index: Index,
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    relevant: int = 1,
    *,
    learned: bool = False,
) -> tuple[Vectors, list[Topic]]:
    """The vectors of the documents (n, dimension), and the judged topics with rows that point into them: conditioned
    ones, or with `learned` as the index's metric moves them.

    `relevant` is the least grade that is relevant. Not relevant is what was judged so, and what BM25 retrieves and
    nobody judged. Raises InputError for an index without vectors.
    """
    view = index.view()
    if view.vectors is None:
        raise InputError(f"The index {index.name!r} has no vectors.", "Build it with an encoder.")
    ids = sorted(view.lexical.live_ids())
    place = {doc: row for row, doc in enumerate(ids)}
    named = [topic for topic in sorted(qrels) if queries.get(topic, "").strip()]
    texts = [queries[topic] for topic in named]
    encoded = (
        view.vectors.condition(index.encode(texts)) if texts else np.zeros((0, view.vectors.dimension), np.float32)
    )
    if learned and len(encoded):
        encoded = view.vectors.learned(encoded)
    topics = []
    for topic, text, vector in zip(track(named, "Reading topics", len(named)), texts, encoded, strict=True):
        found = view.lexical.search(LexicalQuery(text=text), DEPTH).ids
        topics.append(_topic(vector, found, qrels[topic], place, relevant))
    return view.vectors.take(ids, "learned" if learned else "conditioned"), topics


def _topic(
    query: Vectors, found: Sequence[str], judged: Mapping[str, int], place: Mapping[str, int], relevant: int
) -> Topic:
    order = list(dict.fromkeys([*(doc for doc in found if doc in place), *(doc for doc in judged if doc in place)]))
    wanted = [place[doc] for doc in order if judged.get(doc, relevant - 1) >= relevant]
    others = [place[doc] for doc in order if judged.get(doc, relevant - 1) < relevant]
    return Topic(query, np.array(wanted, dtype=np.int64), np.array(others, dtype=np.int64))


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.", "Check its path.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8.", "Convert it.") from None

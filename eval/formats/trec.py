"""TREC files: runs, topics, and judgements to write (`ranking.qrels` reads them).

What cannot be used is an InputError that names the line.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np

from eval.topics import Topic
from index.errors import InputError
from index.readers.lines import bad_line, opened, read_lines
from index.types import Ranking

RUN_COLUMNS = 6

_TOPIC = re.compile(r"<(top|topic)\b([^>]*)>(.*?)(?=</\1\s*>|<\1\b|\Z)", re.IGNORECASE | re.DOTALL)
_PART = re.compile(r"<(\w+)[^>]*>(.*?)(?=</?\w+[^>]*>|\Z)", re.DOTALL)
_LABEL = re.compile(r"^\s*(Number|Topic|Description|Narrative)\s*:", re.IGNORECASE)
_PARTS = {
    "num": "id", "number": "id",
    "title": "title", "query": "title",
    "desc": "description", "description": "description", "question": "description",
    "narr": "narrative", "narrative": "narrative",
    "docid": "document",
}  # fmt: skip


def read_run(path: Path) -> dict[str, Ranking]:
    """A run: topic -> ranking, in trec_eval's order (by score, ties by document number descending).

    Raises InputError for a line that is none, a score that is not finite, a document ranked twice, and an empty run.
    """
    scores: dict[str, dict[str, float]] = {}
    for line, text in enumerate(_whole(path).split("\n"), start=1):  # a million lines are usual: no call for each
        cells = text.split()
        if len(cells) != RUN_COLUMNS:
            if not cells:
                continue
            raise bad_line(path, line, f"{len(cells)} columns where a run has 6: topic Q0 document rank score tag")
        topic, _, doc, _, written, _ = cells
        try:
            score = float(written)
        except ValueError:
            score = math.nan
        if score - score != 0.0:  # an infinity or no number
            raise bad_line(path, line, f"the score of document {doc} is {written}")
        found = scores.get(topic)
        if found is None:
            scores[topic] = {doc: score}
        elif doc in found:
            raise bad_line(path, line, f"document {doc} is ranked twice for topic {topic}")
        else:
            found[doc] = score
    if not scores:
        raise InputError(f"The run {path} is empty.", "Name a run with lines.")
    return {topic: _trec_order(found) for topic, found in scores.items()}


def _whole(path: Path) -> str:
    with opened(path) as file:
        return file.stream.read().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _trec_order(found: Mapping[str, float]) -> Ranking:
    ids, scores = list(found), np.fromiter(found.values(), np.float64, len(found))
    single = scores.astype(np.float32)  # trec_eval's precision
    if not (np.diff(single) < 0).all():
        order = np.lexsort((np.array(ids), single))[::-1]
        ids, scores = [ids[i] for i in order.tolist()], scores[order]
    return Ranking(ids, scores)


def run_lines(topic: str, ranking: Ranking, tag: str) -> str:
    """The lines of one topic. Scores are strictly decreasing in single precision, so that all tools agree on ranks."""
    scores = falling(ranking.scores).tolist()
    rows = enumerate(zip(map(token, ranking.ids), scores, strict=True), start=1)
    start = f"{token(topic)} Q0"
    return "".join(f"{start} {doc} {rank} {score:.9g} {tag}\n" for rank, (doc, score) in rows)


def qrels_lines(topic: str, judged: Mapping[str, int]) -> str:
    """The judgements of one topic."""
    return "".join(f"{token(topic)} 0 {token(doc)} {grade}\n" for doc, grade in judged.items())


def token(name: str) -> str:
    """An id as TREC files can hold it: one with white space, which separates their columns, is percent-encoded."""
    return quote(name, safe="") if len(name.split()) != 1 or name.strip() != name else name


def falling(scores: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float32]:
    """The scores in single precision, each lowered as little as makes it less than the one before. Shape (n,)."""
    single = scores.astype(np.float32)
    if (np.diff(single) < 0).all():
        return single
    lowest = np.float32(-np.inf)
    for i in range(1, len(single)):
        single[i] = min(single[i], np.nextafter(single[i - 1], lowest))
    return single


def read_topics(path: Path) -> dict[str, Topic]:
    """Topics in TREC's SGML or XML: `<top>` with num, title, desc, narr, or `<topic>` with query, question, narrative.

    A topic of a background-linking task names a document, whose title is the query (`Topic.document`). Raises
    InputError where there is none, one has no number, or two have the same.
    """
    text = "\n".join(line for _, line in read_lines(path))
    topics: dict[str, Topic] = {}
    for _, attributes, content in _TOPIC.findall(text):
        parts = {"title": "", "description": "", "narrative": "", "document": ""}
        if number := re.search(r"number\s*=\s*[\"']?([^\"'\s>]+)", attributes):
            parts["id"] = number[1]
        for tag, value in _PART.findall(content):
            if name := _PARTS.get(tag.lower()):
                parts[name] = " ".join(html.unescape(_LABEL.sub("", value)).split())
        if not parts.get("id"):
            raise InputError(f"{path}: topic {len(topics) + 1} has no number.", "Give it a <num>.")
        if parts["id"] in topics:
            raise InputError(f"{path}: two topics have the number {parts['id']}.", "Give each its own.")
        topics[parts["id"]] = Topic(**parts)
    if not topics:
        raise InputError(f"{path} holds no topics.", "It should have <top> or <topic> elements.")
    return topics

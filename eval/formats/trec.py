"""TREC files: judgements (qrels), runs, topics.

What cannot be used is an InputError that names the line. What can be left out without harm is left out and counted, by
reason, in the Counter that the caller passes.
"""

from __future__ import annotations

import html
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np

from eval.topics import Topic
from index.errors import InputError, NotFoundError
from index.readers.files import File
from index.readers.records import Broken
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


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not blank, with their numbers; `.gz` and `.zst` are unpacked."""
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", "Check the path; relative ones begin where you are.")
    with _breaking_off(path) as file:
        for line in file.lines():
            if line.strip():
                yield file.line, line.rstrip("\r\n")


@contextmanager
def _breaking_off(path: Path) -> Iterator[File]:
    """The open file. Raises InputError where it breaks off."""
    file = File(path)
    try:
        yield file
    except (OSError, EOFError, zlib.error, Broken) as error:
        raise InputError(f"{path} breaks off: {error}.", "Fetch the file again.") from None
    finally:
        file.close()


def read_qrels(path: Path, excluded: Counter[str]) -> dict[str, dict[str, int]]:
    """Judgements by topic and document: TREC's four columns, or BEIR's three under their header.

    A line that comes twice and a grade below zero (which becomes 0) are counted in `excluded`. Raises InputError for
    two different grades of one document, for a grade that is no whole number, and for a file without judgements.
    """
    qrels: dict[str, dict[str, int]] = {}
    for line, text in read_lines(path):
        cells = text.split("\t") if "\t" in text else text.split()
        if len(cells) == 4:
            topic, doc, written = cells[0], cells[2], cells[3]
        elif len(cells) == 3:
            topic, doc, written = cells
            if line == 1 and not _is_number(written):
                continue  # BEIR's header
        else:
            raise bad_line(path, line, f"{len(cells)} columns where judgements have 4 (TREC) or 3 (BEIR)")
        grade = _grade(written, path, line)
        if grade < 0:
            excluded["judgements of a grade below 0, taken as 0"] += 1
            grade = 0
        judged = qrels.setdefault(topic.strip(), {})
        doc = doc.strip()
        if doc in judged:
            if judged[doc] != grade:
                raise bad_line(path, line, f"{doc} of topic {topic} has the grade {grade}, and {judged[doc]} above")
            excluded["judgements that repeat an earlier line"] += 1
        judged[doc] = grade
    if not qrels:
        raise InputError(f"{path} holds no judgements.", "Name a qrels file with lines.")
    return qrels


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
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", "Check the path; relative ones begin where you are.")
    with _breaking_off(path) as file:
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


def bad_line(path: Path, line: int, reason: str) -> InputError:
    return InputError(f"{path}:{line}: {reason}.", "Mend the line.")


def _grade(written: str, path: Path, line: int) -> int:
    if _is_number(written) and float(written).is_integer():
        return int(float(written))
    raise bad_line(path, line, f"the grade {written.strip()!r} is no whole number")


def _is_number(written: str) -> bool:
    try:
        float(written)
    except ValueError:
        return False
    return True

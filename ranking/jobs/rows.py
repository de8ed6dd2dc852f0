"""The rows of a re-ranking job: one query each, with what is known of it."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from index.errors import InputError
from index.filters import parse_filter
from index.types import Query, Ranking
from ranking.contract import Request
from ranking.feedback import NO_FEEDBACK, Feedback

FEEDBACK: Final = pa.list_(
    pa.struct([("document", pa.string()), ("relevance", pa.float64()), ("weight", pa.float64())])
)
ROWS: Final = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("documents", pa.list_(pa.string())),  # to be ordered; null: retrieve them
        ("texts", pa.list_(pa.string())),  # of the documents, where no index holds them
        ("scores", pa.list_(pa.float64())),  # of the candidates, where somebody has ranked them
        ("feedback", FEEDBACK),
        ("filter", pa.string()),  # which documents may answer, as in --filter
        ("problem", pa.string()),  # why the row cannot be used, where its reading has shown that
    ]
)
"""What a row may have; `query_id` and `query` have to be there, all else may be absent or null."""
ALIASES: Final[Mapping[str, str]] = {"_id": "query_id", "qid": "query_id", "id": "query_id", "text": "query"}
"""Other names that are understood where ours are absent."""


def misspelt(names: Iterable[str]) -> str | None:
    """What to say of a name that is nearly one of ours, and would silently count for nothing. Any other name is the
    caller's own business."""
    given = set(names)
    known = [*ROWS.names, *ALIASES]
    for name in sorted(given - set(known)):
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
        if close and close[0] not in given:
            return f"there is no `{name}`: did you mean `{close[0]}`?"
    return None


def misshapen(row: Mapping[str, Any]) -> str | None:
    """What to say of a row from JSON where a list should be and none is: a word would be read as its letters."""
    for name in ("documents", "texts", "scores", "feedback"):
        if not isinstance(row.get(name), list | None):
            return f"{name} is no list"
    if not all(isinstance(one, dict) for one in row.get("feedback") or ()):
        return "feedback is no list of document, relevance, weight"
    return None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too long: characters of a query, documents of a row."""

    query_chars: int = 10_000
    documents: int = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be ranked, with its number in the input, from 1. `names` are what its documents are called
    outside, where that differs from their ids in the index."""

    number: int
    request: Request
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used: its number in the input, from 1, and why. `reason` is one of a few, `detail` tells."""

    row: int
    query_id: str | None
    reason: str
    detail: str

    def as_dict(self) -> dict[str, Any]:
        return {"row": self.row, "query_id": self.query_id, "reason": self.reason, "detail": self.detail}


class Unusable(Exception):
    """Why a row cannot be used: a reason of a few words, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def rows_of(
    table: pa.Table, first: int, limits: Limits, *, exclude_feedback: bool, limit: int
) -> Iterator[Row | Reject]:
    """The rows of a table with (some of) the columns of `ROWS`; the number of its first one is `first`."""
    for number, values in enumerate(_values(table), first):
        if isinstance(values, Unusable):
            yield Reject(number, None, values.reason, values.detail)
            continue
        try:
            yield _row(number, values, limits, exclude_feedback, limit)
        except Unusable as why:
            name = values.get("query_id")
            yield Reject(number, None if name is None else str(name), why.reason, why.detail)


def canonical(table: pa.Table) -> pa.Table:
    """The columns of a table that are those of `ROWS`, in their order, under our names."""
    names = list(table.column_names)
    for other, ours in ALIASES.items():
        if ours not in names and other in names:
            names[names.index(other)] = ours
    renamed = table.rename_columns(names)
    return renamed.select([name for name in ROWS.names if name in names])


def text_id(text: str) -> str:
    """The id in the index of a text that came without an id of an index: the same text, the same id."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _values(table: pa.Table) -> Iterator[dict[str, Any] | Unusable]:
    """The rows as Python values. One bad byte makes Arrow refuse a whole column, so then they come one by one."""
    try:
        yield from table.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for i in range(len(table)):
        try:
            yield table.slice(i, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield Unusable("bad UTF-8", f"byte {error.start} of a text: {error.reason}")


def _row(number: int, values: Mapping[str, Any], limits: Limits, exclude_feedback: bool, limit: int) -> Row:
    if problem := values.get("problem"):
        reason, _, detail = str(problem).partition(": ")
        raise Unusable(reason, detail)
    name = values.get("query_id")
    if name is None or str(name) == "":
        raise Unusable("malformed", "no query_id")
    text = _text(values.get("query"), limits)
    condition = values.get("filter")
    try:
        asked = parse_filter(str(condition)) if condition else None
    except InputError as error:
        raise Unusable("bad filter", error.message) from None
    documents, names = _documents(values, limits)
    inside = {outside: doc for doc, outside in names.items()}
    feedback = _feedback(values.get("feedback"), inside)
    if not text and not len(feedback) and documents is None:
        raise Unusable("malformed", "neither a query nor feedback nor documents")
    candidates = None if documents is None else _candidates(documents, values.get("scores"))
    query = Query(str(name), text, asked)
    return Row(number, Request(query, feedback, candidates, exclude_feedback, limit), names)


def _text(value: Any, limits: Limits) -> str:
    text = "" if value is None else _decoded(value).replace("\0", " ").strip()  # as the server reads it
    if len(text) > limits.query_chars:
        raise Unusable("too long", f"the query has {len(text):,} characters, allowed are {limits.query_chars:,}")
    return text


def _decoded(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Unusable("bad UTF-8", f"byte {error.start} of a text: {error.reason}") from None


def _documents(values: Mapping[str, Any], limits: Limits) -> tuple[list[str] | None, dict[str, str]]:
    """The ids of the candidates in the index, and what they are called outside where they came as texts."""
    given, texts = values.get("documents"), values.get("texts")
    most = max(len(given or ()), len(texts or ()))
    if most > limits.documents:
        raise Unusable("too long", f"the row has {most:,} documents, allowed are {limits.documents:,}")
    if texts is None:
        documents = None if given is None else [str(doc) for doc in given if doc is not None]
        if documents is not None and len(set(documents)) < len(documents):
            raise Unusable("malformed", "a document is named twice")
        return documents, {}
    if given is not None and len(given) != len(texts):
        raise Unusable("malformed", f"{len(given)} documents and {len(texts)} texts")
    ids = [text_id("" if text is None else str(text)) for text in texts]
    if len(set(ids)) < len(ids) or (given is not None and len(set(given)) < len(given)):
        raise Unusable("malformed", "a document is given twice")
    return ids, dict(zip(ids, map(str, ids if given is None else given), strict=True))


def _candidates(documents: Sequence[str], scores: Any) -> Ranking:
    """The candidates by their scores, or in the order in which they came."""
    if scores is None:
        return Ranking(documents, -np.arange(float(len(documents))))
    try:
        return Ranking.of(documents, np.array(scores, dtype=np.float64))
    except (ValueError, TypeError) as error:
        raise Unusable("malformed", f"scores: {error}") from None


def _feedback(given: Any, inside: Mapping[str, str]) -> Feedback:
    if not given:
        return NO_FEEDBACK
    try:
        ids = [str(one["document"]) for one in given]
        relevance = [1.0 if (value := one.get("relevance")) is None else value for one in given]
        weight = [1.0 if (value := one.get("weight")) is None else value for one in given]
        return Feedback.of([inside.get(doc, doc) for doc in ids], relevance, weight)
    except InputError as error:
        raise Unusable("malformed", f"feedback: {error.message}") from None
    except (KeyError, TypeError, AttributeError):
        raise Unusable("malformed", "feedback is no list of document, relevance, weight") from None

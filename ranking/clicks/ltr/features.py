"""What a ranker sees of each (query, document) pair: a row of numbers. A pair's code in `Sessions` is its row here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from ranking.clicks.sessions import Codes, Flags, Sessions, Vocabulary

Rows = npt.NDArray[np.int64]
Single = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """n pairs with w features.

    `matrix` (n, w) float32, `query` (n,) the code of each row's query, `queries` their names, `documents` (n,) the
    names of the documents, unique within a query.
    """

    matrix: Single
    query: Codes
    queries: tuple[str, ...]
    documents: tuple[str, ...]

    def __post_init__(self) -> None:
        rows = len(self.matrix)
        if self.matrix.ndim != 2 or len(self.query) != rows or len(self.documents) != rows:
            raise ValueError(
                f"{self.matrix.shape} features, {len(self.query)} queries, {len(self.documents)} documents"
            )
        if rows and not 0 <= int(self.query.min()) <= int(self.query.max()) < len(self.queries):
            raise ValueError("a row's query has no name")

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    @cached_property
    def rows(self) -> dict[tuple[str, str], int]:
        """(query, document) -> row."""
        names = [self.queries[code] for code in self.query]
        return {pair: row for row, pair in enumerate(zip(names, self.documents, strict=True))}

    def candidates(self) -> list[Rows]:
        """The rows of each query, in their order, by the query's code."""
        order = np.argsort(self.query, kind="stable")
        return np.split(order, np.searchsorted(self.query[order], np.arange(1, len(self.queries))))


@dataclass(frozen=True, eq=False)
class Judged:
    """Features with the grade of each row, (n,) float32, 0 or more: what experts say."""

    features: Features
    grades: Single


def text_features(
    queries: Single, documents: Single, query: Codes, names: Sequence[str], documents_named: Sequence[str]
) -> Features:
    """Features of frozen text embeddings: their products, their distances by coordinate, and the cosine.

    `queries` (q, d) and `documents` (n, d) are vectors of one encoder, `query` (n,) says which query each document
    belongs to. The features are 2 d + 1 wide.
    """
    mine = queries[query]
    lengths = np.linalg.norm(mine, axis=1) * np.linalg.norm(documents, axis=1)
    cosine = (mine * documents).sum(axis=1) / np.maximum(lengths, 1e-12)
    matrix = np.concatenate([mine * documents, np.abs(mine - documents), cosine[:, None]], axis=1)
    return Features(matrix.astype(np.float32), query, tuple(names), tuple(documents_named))


@dataclass(frozen=True)
class Located:
    """Pages whose documents are rows of features, and how many could not be found there."""

    sessions: Sessions
    unknown_pages: int
    unknown_documents: int


def locate_rows(sessions: Sessions, vocabulary: Vocabulary, features: Features) -> Located:
    """Turn a log's codes into rows of the features.

    A document without features keeps its slot, as empty: those below it stay at their ranks. A page without any
    document that has features is left out; both are counted. Raises InputError where no page is left.
    """
    where = np.array([features.rows.get(pair, -1) for pair in vocabulary.pairs] or [-1], dtype=np.int32)
    shown = sessions.shown
    rows = np.where(shown, where[np.maximum(sessions.pair, 0)], -1)
    found = rows >= 0
    kept: Flags = np.asarray(found.any(axis=1))
    if not kept.any():
        raise InputError(
            f"None of the {len(sessions):,} pages of the log shows a document that has features.",
            "The features must name queries (qid:) and documents (# at the end of the line) as the log does.",
        )
    query = features.query[rows[kept].max(axis=1)]
    part = sessions.take(kept)
    located = Sessions.of(
        rows[kept],
        part.clicks & found[kept],
        query,
        part.weight,
        part.surface,
        part.arm,
        sessions.surfaces,
        sessions.arms,
    )
    return Located(located, int((~kept).sum()), int((shown & ~found).sum()))

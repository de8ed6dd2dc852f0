"""The vectors of an index as one commit left them: rows by document, and the nearest documents."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from index.co_relevance import CoRelevance
from index.filters import Filter
from index.learned import LearnedFiles
from index.lexical import LexicalView
from index.manifest import Manifest
from index.space import Space
from index.types import Ranking
from index.vectors import VectorFile, take

if TYPE_CHECKING:
    from index.dense import DenseIndex

Single = npt.NDArray[np.float32]
SpaceName: TypeAlias = Literal["conditioned", "raw", "learned"]
"""`learned` is what `index.learned` makes of the conditioned space: the same where nothing was learned."""
RAW, CONDITIONED, DENSE = "raw.f16", "conditioned.f16", "dense.faiss"


class GenerationVectors:
    """The vector files of one generation and what all views of it share: the space and the FAISS index."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        if manifest.encoder is None:
            raise ValueError("the generation has no vectors")
        self.dimension = manifest.encoder.dimension
        self.directory = directory
        self.space = Space.load(directory)
        self.raw = VectorFile(directory / RAW, self.dimension)
        # Without conditioning both spaces are the same file.
        same = self.space.kind == "none"
        self.conditioned = self.raw if same else VectorFile(directory / CONDITIONED, self.dimension)
        self.learned = LearnedFiles(directory, self.space.digest)
        self._kind = manifest.dense or "flat"
        self._dense: DenseIndex | None = None
        self._lock = threading.Lock()

    def append(self, raw: Single, committed: int | None) -> int:
        """Write new rows to both files; durable on return. Gives the first new row."""
        first = self.raw.append(raw, committed)
        if self.conditioned is not self.raw:
            # Conditioned from the float16 values on disk, as the build does.
            self.conditioned.append(self.space.apply(raw.astype(np.float16)), committed)
        return first

    def dense(self, rows: int) -> DenseIndex:
        """The FAISS index, holding at least the first `rows` rows; built or loaded on first use."""
        from index.dense import DenseIndex

        with self._lock:
            if self._dense is None:
                stored = self.directory / DENSE
                self._dense = (
                    DenseIndex.load(stored)
                    if stored.exists()
                    else DenseIndex.build(self.conditioned.open(rows), kind=self._kind)
                )
            if self._dense.rows < rows:
                self._dense.add(self.conditioned.open(rows)[self._dense.rows :])
            return self._dense


class VectorView:
    """The vectors of the documents in one commit. Immutable and thread-safe."""

    def __init__(self, vectors: GenerationVectors, lexical: LexicalView, rows: int) -> None:
        self._vectors, self._lexical, self._rows = vectors, lexical, rows
        self._raw = vectors.raw.open(rows)
        self._conditioned = vectors.conditioned.open(rows)
        self.learned = vectors.learned.newest()
        self.dimension = vectors.dimension

    def take(self, ids: Sequence[str], space: SpaceName = "conditioned") -> Single:
        """Document vectors, float32 of shape (n, `width(space)`), L2-normalised; zeros where a document has none."""
        found = take(self._raw if space == "raw" else self._conditioned, self._lexical.segments.rows_of(ids))
        return self.learned.documents(ids, found) if space == "learned" else found

    def width(self, space: SpaceName) -> int:
        """How many numbers a vector of a space has."""
        return self.dimension + (self.learned.rank if space == "learned" else 0)

    def condition(self, raw: Single) -> Single:
        """Raw vectors, as the encoder gives them, in the conditioned space: shape (n, dimension)."""
        return self._vectors.space.apply(raw)

    @property
    def space_digest(self) -> str:
        """The digest of the space that the vectors are conditioned by: a metric belongs to one."""
        return self._vectors.space.digest

    @property
    def prior_space(self) -> str:
        """The digest of the conditioned space under its metric: a prior belongs to one."""
        return self.learned.metric.digest if self.learned.metric else self.space_digest

    def nearest(
        self, queries: Single, limit: int, filter: Filter | None = None, space: SpaceName = "conditioned"
    ) -> list[Ranking]:
        """For each query vector of a space (row of `queries`) the documents nearest to it; of documents that tie those
        of the least ids.

        Only conditioned vectors are indexed, so scores are the cosines there, to what the query is there. But where
        documents are known to be relevant together, those that lie along the query in that come in too, and the scores
        are the cosines of the learned space.
        """
        if space == "raw":
            return self._nearest(self.condition(queries), limit, filter)
        if space == "conditioned":
            return self._nearest(queries, limit, filter)
        found = self._nearest(self.learned.searchable(queries, self.dimension), limit, filter)
        together = self.learned.co_relevance
        if together is None or limit <= 0 or not self._rows:
            return found
        return self._with_companions(queries, found, together, limit, filter)

    def _with_companions(
        self,
        queries: Single,
        found: Sequence[Ranking],
        together: CoRelevance,
        limit: int,
        filter: Filter | None,
    ) -> list[Ranking]:
        numbers = self._live_numbers if filter is None else self._numbers_by_row(filter)
        allowed = (self._companions >= 0) & (numbers[self._companions] >= 0)
        answers = []
        for query, near in zip(queries, found, strict=True):
            ids = list(dict.fromkeys([*near.ids, *together.best(query[self.dimension :], limit, allowed)]))
            answers.append(Ranking.of(ids, self.take(ids, "learned") @ query, limit))
        return answers

    @cached_property
    def _companions(self) -> npt.NDArray[np.int64]:
        """The row of each document that is known to be relevant together with others; -1 where it has none."""
        together = self.learned.co_relevance
        return self._lexical.segments.rows_of(together.ids if together else [])

    def _nearest(self, queries: Single, limit: int, filter: Filter | None) -> list[Ranking]:
        if limit <= 0 or not self._rows:
            return [Ranking.empty() for _ in queries]
        numbers = self._live_numbers if filter is None else self._numbers_by_row(filter)
        allowed = numbers >= 0
        dense = self._vectors.dense(self._rows)
        everything = len(allowed) == dense.rows and bool(allowed.all())
        found, scores = _beyond_ties(dense, queries, limit, None if everything else allowed)
        ids = self._lexical.segments.ids
        return [
            Ranking.of([ids[number] for number in numbers[row[row >= 0]].tolist()], score[row >= 0], limit)
            for row, score in zip(found, scores, strict=True)
        ]

    @cached_property
    def _live_numbers(self) -> npt.NDArray[np.int64]:
        return self._numbers_by_row(None)

    def _numbers_by_row(self, filter: Filter | None) -> npt.NDArray[np.int64]:
        """For each vector row the Lucene number of the live document that it belongs to and that the filter admits."""
        numbers = self._lexical.matching(filter)
        rows = self._lexical.segments.rows[numbers]
        by_row = np.full(self._rows, -1, dtype=np.int64)
        by_row[rows[rows >= 0]] = numbers[rows >= 0]
        return by_row


def _beyond_ties(
    dense: DenseIndex, queries: Single, limit: int, allowed: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.int64], Single]:
    """What `dense.search` finds, with all rows that tie for the last of `limit` places."""
    width = limit + 1
    while True:
        found, scores = dense.search(queries, width, allowed)
        tied = (scores[:, limit - 1] == scores[:, -1]) & (found[:, -1] >= 0)
        if not tied.any() or width >= dense.rows:
            return found, scores
        width = min(width * 4, dense.rows)

"""Nearest documents by inner product, on FAISS: exact up to 100,000 rows, a navigable graph above.

Vectors are held as float16 (`QT_fp16`), as they are on disk: nothing is lost, memory is half, and search is about
twice as fast as over float32 (100,000 x 384, one query, k = 1000: 3.8 ms against 7.5 ms on one core). The graph is HNSW
(Malkov and Yashunin 2018, https://arxiv.org/abs/1603.09320).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import ConflictError, NotFoundError, UnavailableError
from index.vectors import Single, sync, widen

DenseKind: TypeAlias = Literal["flat", "hnsw"]
Rows = npt.NDArray[np.int64]

FLAT_LIMIT = 100_000  # rows that an exact scan gets through in milliseconds
# HNSW's M, efConstruction and least efSearch. Queries are not distributed as documents are: for queries around other
# centres than the documents', recall@100 is .80 at efSearch 128, .91 at 256, .97 at 512 (20,000 x 384, clustered).
_LINKS, _EF_BUILD, _EF_SEARCH = 32, 200, 512
_BLOCK = 1_024  # rows added at a time: searches get their turn in between
_QUERIES_PER_THREAD = 4  # below this, waking another thread costs more than it brings


def kind_for(rows: int) -> DenseKind:
    """The kind of index that suits a number of rows."""
    return "flat" if rows <= FLAT_LIMIT else "hnsw"


class DenseIndex:
    """Rows 0..n-1 of conditioned vectors, searchable. Any number of threads search while one adds."""

    def __init__(self, index: Any, kind: DenseKind) -> None:
        self.kind: DenseKind = kind
        self._index = index
        self._lock = _ReadWriteLock()

    @classmethod
    def build(cls, vectors: npt.NDArray[np.floating], kind: DenseKind | None = None) -> DenseIndex:
        """Index vectors (n, dimension), float16 or float32, a memory map or not. Zero rows are fine.

        `kind` None means `kind_for(n)`. A flat index is built in a fraction of a second; a graph takes about half
        a millisecond a row. Raises UnavailableError without FAISS.
        """
        kind = kind or kind_for(len(vectors))
        built = cls(_new(vectors.shape[1], kind), kind)
        built.add(vectors)
        return built

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    def add(self, vectors: npt.NDArray[np.floating]) -> None:
        """Append vectors (n, dimension) as the next rows; searches may see the first of them before the last."""
        if vectors.shape[1:] != (self.dimension,):
            raise ValueError(f"vectors of shape {vectors.shape}, not (n, {self.dimension})")
        for start in range(0, len(vectors), _BLOCK):
            block = np.ascontiguousarray(widen(vectors[start : start + _BLOCK]))
            with self._lock.writing():
                self._index.add(block)

    def search(
        self, queries: npt.NDArray[np.floating], k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> tuple[Rows, Single]:
        """The k rows nearest to each of q queries (q, dimension), as (rows (q, k), scores (q, k)).

        Scores are inner products, descending, ties by row ascending; where fewer than k rows qualify, the rest are
        row -1 with score -inf. `allowed` (bool, indexed by row) restricts the answer; rows beyond its end are not
        allowed. A flat index is exact. A graph is approximate, but never answers with fewer rows than qualify: a
        filter that leaves few rows, or a walk that comes back short, is answered by a scan.
        """
        asked = np.ascontiguousarray(widen(queries))
        if asked.shape[1:] != (self.dimension,) or not np.isfinite(asked).all():
            raise ValueError(f"queries of shape {asked.shape}, not (q, {self.dimension}), or not finite")
        rows = np.full((len(asked), k), -1, np.int64)
        scores = np.full((len(asked), k), -np.inf, np.float32)
        with self._lock.reading(), _threads(-(-len(asked) // _QUERIES_PER_THREAD)):
            qualify = self.rows if allowed is None else int(np.count_nonzero(allowed[: self.rows]))
            width = min(k, qualify)
            if width > 0 and len(asked) > 0:
                selector = None if allowed is None else _selector(allowed)
                if self.kind == "flat" or (selector is not None and qualify <= FLAT_LIMIT):
                    rows[:, :width], scores[:, :width] = self._scan(asked, width, selector)
                else:
                    rows[:, :width], scores[:, :width] = self._walk(asked, width, selector, qualify)
        return rows, scores

    def save(self, path: Path) -> None:
        """Write the index to a file, durably and all or nothing. (A flat one is as quickly built anew.)"""
        faiss, path = _faiss(), Path(path)
        draft = path.with_name(path.name + ".tmp")
        try:
            with self._lock.reading():
                faiss.write_index(self._index, os.fspath(draft))
            with open(draft, "rb") as file:
                os.fsync(file.fileno())
            os.replace(draft, path)
            sync(path.parent)
        except (OSError, RuntimeError) as error:
            draft.unlink(missing_ok=True)
            raise UnavailableError(
                f"The dense index could not be written to {path}.",
                "Make room on the disk, or see that the directory may be written.",
            ) from error

    @classmethod
    def load(cls, path: Path) -> DenseIndex:
        """Read what `save` wrote. Raises NotFoundError without the file, ConflictError where it is damaged."""
        faiss = _faiss()
        if not Path(path).is_file():
            raise NotFoundError(f"There is no dense index {path}.", "Build the index again.")
        try:
            index = faiss.read_index(os.fspath(path))
        except RuntimeError as error:
            raise ConflictError(f"The dense index {path} is damaged.", "Build the index again.") from error
        return cls(index, "hnsw" if isinstance(index, faiss.IndexHNSW) else "flat")

    def _scan(self, queries: Single, k: int, selector: Any, width: int | None = None) -> tuple[Rows, Single]:
        """Exact: k results each, of at least k rows that qualify.

        FAISS drops any of the rows that tie for the last place, so more than k are asked for, until what follows
        the k-th is below it (or nothing follows): then sorting decides.
        """
        faiss = _faiss()
        width = min(width or k + 1, self.rows)
        scanned = self._index if self.kind == "flat" else self._index.storage
        scores, rows = scanned.search(queries, width, params=faiss.SearchParameters(sel=selector))
        rows, scores = _sorted(rows, scores)
        best_rows, best_scores = rows[:, :k], scores[:, :k]
        if width < self.rows:
            tied = scores[:, -1] == scores[:, k - 1]
            if tied.any():
                best_rows[tied], best_scores[tied] = self._scan(queries[tied], k, selector, width * 4)
        return best_rows, best_scores

    def _walk(self, queries: Single, k: int, selector: Any, qualify: int) -> tuple[Rows, Single]:
        """Approximate: follow the graph, the longer the fewer rows of it qualify."""
        faiss = _faiss()
        effort = min(int(max(_EF_SEARCH, 2 * k) * self.rows / qualify), self.rows)
        scores, rows = self._index.search(queries, k, params=faiss.SearchParametersHNSW(sel=selector, efSearch=effort))
        rows, scores = _sorted(rows, scores)
        short = rows[:, -1] < 0
        if short.any():
            rows[short], scores[short] = self._scan(queries[short], k, selector)
        return rows, scores


def _new(dimension: int, kind: DenseKind) -> Any:
    faiss = _faiss()
    half, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    if kind == "flat":
        return faiss.IndexScalarQuantizer(dimension, half, metric)
    index = faiss.IndexHNSWSQ(dimension, half, _LINKS, metric)
    index.hnsw.efConstruction = _EF_BUILD
    return index


def _selector(allowed: npt.NDArray[np.bool_]) -> Any:
    return _faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def _sorted(rows: Rows, scores: Single) -> tuple[Rows, Single]:
    """Both arrays (q, k), each line by score descending, then row ascending; missing rows (-1) last, at -inf."""
    scores[rows < 0] = -np.inf
    order = np.lexsort((rows, -scores), axis=1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UnavailableError("FAISS is not installed.", "Run: pip install faiss-cpu") from error
    return faiss


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """Let FAISS use at most `wanted` threads for what the calling thread asks of it (OpenMP keeps it per thread)."""
    faiss = _faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(max(1, min(wanted, before)))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class _ReadWriteLock:
    """Many readers or one writer. A waiting writer goes before readers that come later."""

    def __init__(self) -> None:
        self._turnstile = threading.Lock()
        self._counting = threading.Lock()
        self._resource = threading.Lock()  # held by the writer, or by the readers together
        self._readers = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._turnstile, self._counting:
            if self._readers == 0:
                self._resource.acquire()
            self._readers += 1
        try:
            yield
        finally:
            with self._counting:
                self._readers -= 1
                if self._readers == 0:
                    self._resource.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._turnstile, self._resource:
            yield

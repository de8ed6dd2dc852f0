"""Document vectors on disk: append-only files of float16 rows, read through memory maps.

A row is `dimension` little-endian float16 values and nothing else, so row r starts at byte r x 2 x dimension. The file
does not know how many of its rows count: the manifest of the index does. Rows beyond those *committed* there are left
over from a writer that was killed; readers never map them and the next append overwrites them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.errors import ConflictError, NotFoundError, UnavailableError

Half = npt.NDArray[np.float16]
Single = npt.NDArray[np.float32]

_DTYPE = np.dtype("<f2")
_BLOCK = 16_384  # rows written at a time: bounds the memory that an append of a memory-mapped million needs

# The float32 value of each of the 65,536 float16 values. Looking a value up is exact and 2.5 times as fast as numpy's
# conversion (1,000 x 384: 0.24 ms against 0.63 ms), which is done in software, one value at a time.
_SINGLE: Single = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def widen(vectors: npt.NDArray[np.floating]) -> Single:
    """The same values as float32: a copy from float16, no copy from float32."""
    if vectors.dtype != np.float16:
        return np.asarray(vectors, dtype=np.float32)
    # mode="wrap" only saves the bounds check: sixteen bits cannot point outside the table.
    return _SINGLE.take(np.ascontiguousarray(vectors).view(np.uint16), mode="wrap")


def unit_rows(rows: Single) -> Single:
    """Rows (n, dimension) at length one; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Single = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def take(vectors: Half, rows: npt.ArrayLike) -> Single:
    """Rows (n,) of a vector array (m, dimension) as float32 (n, dimension); row -1 (no vector) gives zeros.

    Raises IndexError for a row outside -1..m-1.
    """
    wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
    if len(wanted) and not -1 <= wanted.min() <= wanted.max() < len(vectors):
        raise IndexError(f"a row outside -1..{len(vectors) - 1}")
    if not len(vectors):
        return np.zeros((len(wanted), vectors.shape[1]), np.float32)
    # np.asarray sheds the memmap subclass; row -1 reads the last row, and is blanked below.
    found = widen(np.asarray(vectors).take(wanted, axis=0, mode="wrap"))
    found[wanted < 0] = 0
    return found


class VectorFile:
    """An append-only file of float16 rows: any number of readers, one writer at a time (the index locks for it)."""

    def __init__(self, path: Path, dimension: int) -> None:
        self.path = Path(path)
        self.dimension = dimension
        self.row_bytes = dimension * _DTYPE.itemsize

    @property
    def rows(self) -> int:
        """Whole rows in the file, committed or not; 0 where there is no file."""
        try:
            return self.path.stat().st_size // self.row_bytes
        except FileNotFoundError:
            return 0

    def append(self, vectors: npt.NDArray[np.floating], committed: int | None = None) -> int:
        """Write rows (n, dimension) after the `committed` ones; durable when it returns. Gives the first new row.

        Everything beyond `committed` rows is dropped first; None keeps every whole row, which suits a writer that
        appends several times before it commits. Raises ValueError for vectors of another shape or not finite in
        float16, ConflictError where the file has fewer rows than `committed`, UnavailableError where it cannot be
        written (the committed rows stay as they were).
        """
        if vectors.shape[1:] != (self.dimension,):
            raise ValueError(f"vectors of shape {vectors.shape}, not (n, {self.dimension})")
        first = self._check(self.rows if committed is None else committed)
        try:
            self._write(first, vectors)
        except BaseException as error:
            # Give back the room that the failed append took; where even that fails, the next append does it.
            with contextlib.suppress(OSError):
                os.truncate(self.path, first * self.row_bytes)
            if not isinstance(error, OSError):
                raise
            raise UnavailableError(
                f"Vectors could not be written to {self.path}: {error.strerror or error}.",
                "Make room on the disk, or see that the directory may be written.",
            ) from error
        return first

    def _write(self, first: int, vectors: npt.NDArray[np.floating]) -> None:
        with open(self.path, "r+b" if self.path.exists() else "x+b") as file:
            file.truncate(first * self.row_bytes)
            file.seek(0, os.SEEK_END)
            for start in range(0, len(vectors), _BLOCK):
                file.write(_halve(vectors[start : start + _BLOCK]).tobytes())
            file.flush()
            os.fsync(file.fileno())
        if first == 0:
            sync(self.path.parent)  # the file may be new: its name has to survive as well

    def open(self, rows: int) -> Half:
        """The first `rows` rows as a read-only memory map (rows, dimension); a plain empty array for none.

        Map committed rows only: an append may cut off the others under the reader's feet. Raises NotFoundError
        without a file, ConflictError where it has fewer rows.
        """
        if rows == 0:
            return np.zeros((0, self.dimension), np.float16)
        if not self.path.exists():
            raise NotFoundError(f"There is no vector file {self.path}.", "Build the index again.")
        self._check(rows)
        return np.memmap(self.path, dtype=_DTYPE, mode="r", shape=(rows, self.dimension))

    def _check(self, committed: int) -> int:
        if committed > self.rows:
            raise ConflictError(
                f"{self.path} holds {self.rows} vectors where the index counts {committed}.",
                "The file was truncated or belongs to another index: build the index again.",
            )
        return committed


def _halve(vectors: npt.NDArray[np.floating]) -> Half:
    with np.errstate(over="ignore"):
        halves = np.asarray(vectors).astype(_DTYPE)
    if not np.isfinite(halves).all():
        raise ValueError("a vector is not finite in float16")
    return halves


def sync(path: Path) -> None:
    """Make a file's content, or the names of new and renamed files in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

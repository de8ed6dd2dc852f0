"""The ids and vector rows of a Lucene reader's documents, read once per segment.

Lucene numbers documents segment after segment and never changes a written segment, so what was read of one stays true;
only which of its documents live changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from index import bulk
from index.java import cast


@dataclass(frozen=True, eq=False)
class Segment:
    """One immutable segment: document ids and vector rows (-1: none), by document number within the segment."""

    name: str
    ids: list[str]
    rows: npt.NDArray[np.int64]

    @cached_property
    def positions(self) -> dict[str, int]:
        """Document number within the segment by id; where an update left the same id twice, the last one."""
        return {doc: number for number, doc in enumerate(self.ids)}

    @classmethod
    def read(cls, name: str, leaf: Any) -> Segment:
        count = leaf.maxDoc()
        return cls(
            name,
            bulk.string_values(leaf.getBinaryDocValues("id"), count),
            bulk.long_values(leaf.getNumericDocValues("row"), count),
        )


class Segments:
    """All segments of one reader, with the live documents at that moment."""

    def __init__(self, parts: Sequence[Segment], live: Sequence[npt.NDArray[np.bool_] | None]) -> None:
        self.parts = tuple(parts)
        self._live = tuple(live)
        sizes = [len(part.ids) for part in self.parts]
        self._bases = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @classmethod
    def of(cls, reader: Any, known: Segments | None) -> Segments:
        """Read the reader's segments, taking those that `known` has read already from there."""
        before = {part.name: part for part in known.parts} if known else {}
        parts, live = [], []
        leaves = reader.leaves()
        for number in range(leaves.size()):
            leaf = leaves.get(number).reader()
            name = cast("org.apache.lucene.index.SegmentReader", leaf).getSegmentName()
            parts.append(before.get(name) or Segment.read(name, leaf))
            bits = leaf.getLiveDocs()
            live.append(None if bits is None else bulk.live_bits(bits, leaf.maxDoc()))
        return cls(parts, live)

    @cached_property
    def ids(self) -> list[str]:
        """Document ids by Lucene's document number."""
        return [doc for part in self.parts for doc in part.ids]

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Vector rows by Lucene's document number, -1 for a document without a vector."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *(part.rows for part in self.parts)])

    @cached_property
    def live(self) -> npt.NDArray[np.bool_]:
        """Whether each document lives, by Lucene's document number."""
        pieces = [
            np.ones(len(part.ids), dtype=np.bool_) if bits is None else bits
            for part, bits in zip(self.parts, self._live, strict=True)
        ]
        return np.concatenate([np.zeros(0, dtype=np.bool_), *pieces])

    def number_of(self, doc_id: str) -> int:
        """Lucene's document number of a live document, -1 where there is none."""
        for part, bits, base in zip(self.parts, self._live, self._bases, strict=False):
            number = part.positions.get(doc_id, -1)
            if number >= 0 and (bits is None or bits[number]):
                return int(base) + number
        return -1

    def numbers_of(self, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Lucene's document numbers of several documents, -1 where there is none: shape (n,)."""
        wanted = list(ids)
        numbers = np.full(len(wanted), -1, dtype=np.int64)
        for part, bits, base in zip(self.parts, self._live, self._bases.tolist(), strict=False):
            found = np.fromiter(map(part.positions.get, wanted, repeat(-1)), dtype=np.int64, count=len(wanted))
            lives = found >= 0 if bits is None else (found >= 0) & bits[found]
            numbers[lives] = found[lives] + base
        return numbers

    def rows_of(self, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Vector rows of several documents, -1 where there is none: shape (n,)."""
        numbers = self.numbers_of(ids)
        if not len(self.rows):
            return numbers
        return np.where(numbers >= 0, self.rows[numbers], -1)

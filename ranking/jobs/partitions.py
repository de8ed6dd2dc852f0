"""A corpus spread over partitions: one Parquet file each, for the worker that embeds it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from index.errors import RecordError
from ranking.jobs.inputs import breaking_off
from ranking.jobs.job import Part
from ranking.jobs.storage import Place

DOCUMENTS: Final = pa.schema(
    [("row", pa.int64()), ("id", pa.string()), ("text", pa.string()), ("problem", pa.string())]
)
"""A document with its place in the corpus, or a record that is none with its line and its problem."""
_HELD: Final = 64 * 2**20  # characters of documents that wait to be written, of all partitions together
_OVERHEAD: Final = 100  # and so many for what Python needs around each


class Partitions:
    """Writes the files; a context manager."""

    def __init__(self, folder: Place, count: int) -> None:
        self.folder, self.count = folder, count
        self.rows = [0] * count
        self._held: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._characters = 0
        self._open = ExitStack()
        self._writers: dict[int, Any] = {}

    def add(self, name: str, row: int, text: str) -> None:
        """A document goes to the partition of its id, the same for ever."""
        number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % self.count
        self._hold(number, {"row": row, "id": name, "text": text})

    def reject(self, error: RecordError) -> None:
        """A record that is no document goes to the first partition, whose worker rejects it."""
        self._hold(0, {"row": error.line, "problem": f"{error.path}:{error.line}: {error.reason}"})

    def parts(self) -> list[Part]:
        """The partitions that have documents; the first one where none has, so that there is a table."""
        found, first = [], 0
        for number, rows in enumerate(self.rows):
            if rows:
                place = self._place(number)
                found.append(Part(number, first, rows, {"root": place.root, "below": place.below}))
            first += rows
        return found or [Part(0, 0, 0, {})]

    def _hold(self, number: int, row: dict[str, Any]) -> None:
        self._held[number].append(row)
        self.rows[number] += 1
        self._characters += _OVERHEAD + len(row.get("text", ""))
        if self._characters > _HELD:
            self._write()

    def _write(self) -> None:
        for number, rows in self._held.items():
            if number not in self._writers:
                place = self._place(number)
                sink = self._open.enter_context(place.system.open_output_stream(place.path))
                writer = pq.ParquetWriter(sink, DOCUMENTS, compression="zstd")
                self._writers[number] = self._open.enter_context(writer)
            self._writers[number].write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS))
        self._held.clear()
        self._characters = 0

    def _place(self, number: int) -> Place:
        return self.folder / f"corpus-{number:05d}.parquet"

    def __enter__(self) -> Partitions:
        if self.folder.local is not None:
            self.folder.local.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write()
        self._open.close()


def read_partition(part: Part, rows: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a partition, so many at a time."""
    if not part.source:
        return
    place = Place(part.source["root"], part.source["below"])
    with breaking_off(place):
        for batch in pq.ParquetFile(place.open()).iter_batches(rows):
            yield batch.to_pylist()

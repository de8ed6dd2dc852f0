"""What workers of an embedding job do: a partition of documents to a file of vectors."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from index.encoder import Encoder, load_encoder
from index.errors import ConflictError
from ranking.jobs.engine import Advance, Worker
from ranking.jobs.inputs import breaking_off
from ranking.jobs.job import Done, Part
from ranking.jobs.output import Output
from ranking.jobs.partitions import read_partition
from ranking.jobs.storage import Place

BATCH: Final = 4_096
"""Documents that are embedded at a time: enough to sort by length."""


@dataclass(frozen=True)
class Embedding:
    """What workers of an embedding job need."""

    output: Output
    encoder: str
    max_tokens: int | None
    checksum: str

    def open(self) -> Worker:
        """Raises ConflictError where the model here is not the one that the job was begun with."""
        encoder = load_encoder(self.encoder, max_tokens=self.max_tokens)
        if encoder.checksum != self.checksum:
            raise ConflictError(
                f"The model {self.encoder} on this machine is not the one that the job was begun with.",
                "Have all machines use the same model.",
            )
        return Embedder(self.output, encoder)


@dataclass
class Embedder:
    """Embeds partition after partition."""

    output: Output
    encoder: Encoder

    def work(self, part: Part, advance: Advance) -> Done:
        start = time.perf_counter()
        known = Vectors.of(self.output.part(part.number), self.encoder.dimension)
        made = Vectors(self.encoder.dimension)
        rejects: list[dict[str, Any]] = []
        embedded = 0
        for rows in read_partition(part, BATCH):
            bad = [row for row in rows if row["problem"] is not None]
            rejects += [{"row": row["row"], "reason": "bad record", "detail": row["problem"]} for row in bad]
            embedded += self._embed([row for row in rows if row["problem"] is None], known, made)
            advance(len(rows))
        counts = {"embedded": embedded, "reused": len(made.rows) - embedded}
        done = Done(part.number, part.rows, len(rejects), time.perf_counter() - start, counts)
        return self.output.keep(done, made.table(), rejects)

    def _embed(self, documents: Sequence[Mapping[str, Any]], known: Vectors, made: Vectors) -> int:
        """Add the vectors of documents to `made`; gives how many had to be computed."""
        digests = [hashlib.blake2b(one["text"].encode(), digest_size=16).hexdigest() for one in documents]
        vectors = np.zeros((len(documents), self.encoder.dimension), np.float32)
        missing = []
        for i, (document, digest) in enumerate(zip(documents, digests, strict=True)):
            before = known.rows.get(document["id"])
            if before is not None and known.digests[before] == digest:
                vectors[i] = known.blocks[0][before]
            else:
                missing.append(i)
        if missing:
            vectors[missing] = self.encoder.encode([documents[i]["text"] for i in missing])
        made.add([document["id"] for document in documents], digests, vectors)
        return len(missing)


@dataclass
class Vectors:
    """The vectors of a partition: id -> its row in all `blocks` together, with the digest of the text at each row."""

    dimension: int
    rows: dict[str, int] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    blocks: list[npt.NDArray[np.float32]] = field(default_factory=list)

    @classmethod
    def of(cls, file: Place, dimension: int) -> Vectors:
        """What lies in the file of a partition, as one block; nothing where there is none, or vectors of another
        length."""
        found = cls(dimension)
        if not file.is_file():
            return found
        with breaking_off(file):
            table = pq.read_table(file.open())
        if table.schema != _schema(dimension):
            return found
        flat = table.column("vector").combine_chunks().flatten().to_numpy()
        found.add(table.column("id").to_pylist(), table.column("digest").to_pylist(), flat.reshape(-1, dimension))
        return found

    def add(self, ids: Sequence[str], digests: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        self.rows.update((name, len(self.digests) + i) for i, name in enumerate(ids))
        self.digests += digests
        self.blocks.append(vectors)

    def table(self) -> pa.Table:
        """Sorted by id."""
        ids = sorted(self.rows)
        order = [self.rows[name] for name in ids]
        every = np.concatenate([np.zeros((0, self.dimension), np.float32), *self.blocks])[order]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(every.reshape(-1)), self.dimension)
        columns = [pa.array(ids, pa.string()), pa.array([self.digests[row] for row in order], pa.string()), vectors]
        return pa.Table.from_arrays(columns, schema=_schema(self.dimension))


def _schema(dimension: int) -> pa.Schema:
    return pa.schema([("id", pa.string()), ("digest", pa.string()), ("vector", pa.list_(pa.float32(), dimension))])

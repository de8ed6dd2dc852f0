"""Pages and their events brought together: row by row where they lie in one order, by their ids where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from index.errors import ConflictError
from ranking.clicks.pages import Pages
from ranking.clicks.schema import EVENTS, IMPRESSIONS


@dataclass(slots=True)
class Joining:
    """What did not fit together while pages met their events: `orphans` are events whose page the log does not have,
    `repeated` the impressions whose query_id had come before (the first one stays)."""

    orphans: int = 0
    repeated: int = 0


def read_rows(file: Path, schema: Any, batch: int) -> Iterator[Any]:
    """Record batches in the schema; columns that the file lacks are empty, and others are left out."""
    with pq.ParquetFile(file) as opened:
        known = set(opened.schema_arrow.names)
        for rows in opened.iter_batches(batch, columns=[name for name in schema.names if name in known]):
            columns = [
                rows.column(field.name).cast(field.type) if field.name in known else pa.nulls(rows.num_rows, field.type)
                for field in schema
            ]
            yield pa.record_batch(columns, schema=schema)


def merged(impressions: Path, events: Path, batch: int) -> Iterator[Pages]:
    """The pages of one aligned part: a merge join."""
    waiting = pa.Table.from_batches([], EVENTS)
    coming = read_rows(events, EVENTS, batch)
    for shown in read_rows(impressions, IMPRESSIONS, batch):
        taken: list[Any] = []
        while True:
            rows = pc.index_in(waiting.column("query_id"), value_set=shown.column("query_id"))
            own = np.asarray(pc.fill_null(rows, -1), dtype=np.int64)
            others = np.flatnonzero(own < 0)
            stop = int(others[0]) if len(others) else len(own)
            taken.append((waiting.slice(0, stop), own[:stop]))
            if len(others):
                waiting = waiting.slice(stop)
                break
            following = next(coming, None)
            if following is None:
                waiting = waiting.slice(stop)
                break
            waiting = pa.Table.from_batches([following])
        table = pa.concat_tables([part for part, _ in taken])
        yield Pages(shown, _one(table), np.concatenate([own for _, own in taken]))
    if waiting.num_rows or next(coming, None) is not None:
        raise ConflictError(
            f"The events of {events} are not in the order of their pages.",
            "Write the log anew: 'clickwise clicks convert LOG OUT --format parquet'.",
        )


def joined_pages(impressions: Any, events: Any, report: Joining) -> Pages:
    """Pages with their events where both fit into memory, in the order of the impressions."""
    ids = impressions.column("query_id").combine_chunks()
    first = np.asarray(pc.index_in(ids, value_set=ids), dtype=np.int64)
    keep = first == np.arange(len(first))
    if not keep.all():
        report.repeated += int((~keep).sum())
        impressions = impressions.filter(pa.array(keep))
        ids = impressions.column("query_id").combine_chunks()
    rows = np.asarray(pc.fill_null(pc.index_in(events.column("query_id"), value_set=ids), -1), dtype=np.int64)
    order = np.argsort(rows, kind="stable")
    orphans = int((rows < 0).sum())
    report.orphans += orphans
    order = order[orphans:]
    return Pages(_one(impressions), _one(events.take(pa.array(order))), rows[order])


def _one(table: Any) -> Any:
    """A table as one record batch."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

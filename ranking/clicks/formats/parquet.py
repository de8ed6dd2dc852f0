"""Parquet: a Clickwise log in whatever order, or tables with one row per document shown. Those may be CSV, too.

A table has at least a column for the page and one for the document; columns are found by their usual names, or named
by the option `columns`, role -> name. Its rows may be in any order. Without a rank, the documents of a page are in the
order of their rows; ranks that count from 0 are noted and moved. Without a query, every page is its own; without
clicks, nothing was clicked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from index.errors import InputError
from ranking.clicks.formats.tables import Source
from ranking.clicks.log import ClickLog, Joining
from ranking.clicks.pages import Integers, Pages
from ranking.clicks.reading import Reading
from ranking.clicks.schema import EVENTS, IMPRESSIONS
from ranking.clicks.spill import Stream, together

OPTIONS: Final = ("columns",)
USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "query_id": ("query_id", "page", "page_id", "impression_id", "serp_id", "search_id", "qid"),
    "query": ("query", "query_text", "user_query", "keywords", "search_term"),
    "document": ("document", "document_id", "doc_id", "docid", "item_id", "url_md5", "url", "object_id"),
    "rank": ("rank", "position", "pos", "ordinal"),
    "click": ("click", "clicked", "is_click", "clicks"),
    "dwell_ms": ("dwell_ms",),
    "relevance": ("relevance",),
    "propensity": ("propensity", "propensity_score"),
    "score": ("score",),
    "pipeline": ("pipeline",),
    "pipeline_version": ("pipeline_version", "ranker_version"),
    "model": ("model",),
    "arm": ("arm", "experiment", "variant"),
    "session": ("session", "session_id"),
    "client": ("client", "client_id", "user_id"),
    "time": ("time", "timestamp"),
    "device": ("device",),
}
"""Role -> the names under which its column is looked for."""
_TYPES: Final[Mapping[str, Any]] = {
    "rank": pa.int64(), "click": pa.float64(), "dwell_ms": pa.float64(), "relevance": pa.float64(),
    "propensity": pa.float64(), "score": pa.float64(), "time": pa.timestamp("us", tz="UTC"),
}  # fmt: skip
_PAGE: Final = ("pipeline", "pipeline_version", "model", "arm", "session", "client", "time", "device")
_ROW: Final = "row"  # the place of a row in its source


def read(files: list[Path], reading: Reading) -> Iterator[Pages]:
    """The pages of a log, or of the rows of all files together. Option: `columns`."""
    roots = {path.parent.parent for path in files if path.parent.name == "impressions"}
    if roots:
        for root in sorted(roots):
            joining = Joining()
            yield from ClickLog.open(root).pages(joining=joining, partition=True)
            reading.count("events without a page", joining.orphans)
            reading.count("pages whose query_id came before", joining.repeated)
        return
    columns = reading.options.get("columns") or {}
    for role in columns:
        if role not in USUAL:
            raise InputError(f"There is no role {role} for a column.", f"Roles: {', '.join(USUAL)}.")
    sources = [Source(path, USUAL, columns) for path in files]
    base = _base(sources, reading)
    schema = pa.schema([(role, _TYPES.get(role, pa.string())) for role in USUAL] + [(_ROW, pa.int64())])
    for (table,) in together([Stream(schema, _batches(sources, schema, reading))], "query_id"):
        if table.num_rows:
            yield _pages(table, base, reading)


def _batches(sources: list[Source], schema: Any, reading: Reading) -> Iterator[Any]:
    count = 0
    for source in sources:
        for given in source.batches():
            rows = given.num_rows
            columns = [source.column(given, field.name, field.type) for field in list(schema)[:-1]]
            place = pa.array(np.arange(count, count + rows))
            count += rows
            batch = pa.record_batch([*columns, place], schema=schema)
            named = pc.and_(pc.is_valid(batch.column("query_id")), pc.is_valid(batch.column("document")))
            reading.count("rows without a page or a document", rows - int(pc.sum(named).as_py() or 0))
            yield batch.filter(named)


def _base(sources: list[Source], reading: Reading) -> int:
    """Whether ranks count from 0 or 1: a log that counts from 0 has one in every page."""
    lowest = [source.lowest("rank") for source in sources]
    known = [value for value in lowest if value is not None]
    if not known:
        return 1
    base = 0 if min(known) == 0 else 1
    reading.note(f"Ranks count from {base} (the lowest is {min(known)}).")
    return base


def _pages(table: Any, base: int, reading: Reading) -> Pages:
    """Rows as pages, in the order in which pages first came."""
    ids = table.column("query_id").combine_chunks().dictionary_encode()
    page = np.asarray(ids.indices, dtype=np.int64)
    rank = np.asarray(pc.fill_null(table.column("rank"), -1), dtype=np.int64)
    ranked = np.asarray(pc.is_valid(table.column("rank")), dtype=np.bool_)
    row = np.asarray(table.column(_ROW), dtype=np.int64)
    order = np.lexsort((row, np.where(ranked, rank, np.iinfo(np.int64).max), page))
    table, page, rank, ranked = table.take(pa.array(order)), page[order], rank[order], ranked[order]
    first = np.flatnonzero(np.diff(page, prepend=-1))
    lengths = np.diff(np.append(first, len(page)))
    place = np.arange(len(page)) - np.repeat(first, lengths) + 1
    ranks = np.where(ranked, rank + 1 - base, place)
    wild = (ranks < 1) | (ranks > np.iinfo(np.int32).max)
    reading.count("documents before the first rank, or too deep", int(wild.sum()))
    ranks = np.where(wild, 0, ranks)  # such a page is not sound, and `clicks clean` says so
    offsets = pa.array(np.append(first, len(page)).astype(np.int32))

    def listed(values: Any) -> Any:
        return pa.ListArray.from_arrays(offsets, values.combine_chunks() if hasattr(values, "chunks") else values)

    heads = table.take(pa.array(first))
    columns = {
        "query_id": heads.column("query_id"),
        "query": pc.coalesce(heads.column("query"), heads.column("query_id")),
        "documents": listed(table.column("document")),
        "ranks": listed(pa.array(ranks.astype(np.int32))),
        "propensities": _whole(table.column("propensity"), listed, page, len(first)),
        "scores": _whole(table.column("score"), listed, page, len(first)),
        **{name: heads.column(name) for name in _PAGE},
        "time": _earliest(table.column("time"), first),
    }
    made = pa.record_batch([_single(columns[field.name]).cast(field.type) for field in IMPRESSIONS], schema=IMPRESSIONS)
    events, owner = _events(table, page, ranks)
    return Pages(made, events, owner)


def _events(table: Any, page: Integers, ranks: Integers) -> tuple[Any, Integers]:
    """The clicks and judgements in the rows, each with its page."""
    clicked = np.asarray(pc.fill_null(pc.greater(table.column("click"), 0), False), dtype=np.bool_)
    judged = np.asarray(pc.is_valid(table.column("relevance")), dtype=np.bool_)
    rows = np.concatenate([np.flatnonzero(clicked), np.flatnonzero(judged)])
    kinds = np.repeat(["click", "judgement"], [clicked.sum(), judged.sum()])
    order = np.lexsort((kinds, rows))
    rows, kinds = rows[order], kinds[order]
    click = pa.array(kinds == "click")
    own = table.take(pa.array(rows))
    columns = {
        "event_id": pa.nulls(len(rows), pa.string()),
        "query_id": own.column("query_id"),
        "document": own.column("document"),
        "kind": pa.array(kinds.tolist(), pa.string()),
        "rank": pa.array(ranks[rows], mask=ranks[rows] < 1),
        "relevance": pc.if_else(click, None, own.column("relevance")),
        "weight": pa.nulls(len(rows), pa.float64()),
        "dwell_ms": pc.if_else(click, pc.round(own.column("dwell_ms")), None),
        "time": own.column("time"),
    }
    batch = pa.record_batch([_single(columns[field.name]).cast(field.type) for field in EVENTS], schema=EVENTS)
    return batch, page[rows]


def _whole(values: Any, listed: Callable[[Any], Any], page: Integers, pages: int) -> Any:
    """A list per page; none where a page lacks one of the values."""
    gaps = np.zeros(pages, dtype=np.bool_)
    gaps[page[np.asarray(pc.is_null(values), dtype=np.bool_)]] = True
    return pc.if_else(pa.array(gaps), None, listed(values))


def _earliest(times: Any, first: Integers) -> Any:
    """The first time in the rows of each page: a row may have the time of its click."""
    never = np.iinfo(np.int64).max
    moments = np.asarray(pc.fill_null(times.cast(pa.int64()), never), dtype=np.int64)
    found = np.minimum.reduceat(moments, first)
    return pa.array(found, mask=found == never).cast(times.type)


def _single(values: Any) -> Any:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values

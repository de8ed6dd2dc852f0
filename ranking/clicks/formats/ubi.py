"""OpenSearch User Behavior Insights (UBI) 1.3: queries and events, as exports of `ubi_queries` and `ubi_events`.

A page is what one query_id showed for one text of the query. Its documents are those of its `impression` events, else
the `query_response_hit_ids` of its query. The specification leaves open whether `position.ordinal` counts from 0 or 1:
that is found out for each application, and noted. Where the hit list has a document, its place there is its rank.

What UBI has no field for is taken from `query_attributes`: pipeline, pipeline_version, model, arm, device, and the
lists propensities and scores (of the hit list).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from index.errors import InputError
from index.readers.files import File
from ranking.clicks.formats.json_records import records
from ranking.clicks.formats.ubi_pages import pages_of
from ranking.clicks.formats.ubi_ranks import Ordinals
from ranking.clicks.pages import Page
from ranking.clicks.reading import Reading
from ranking.clicks.spill import Stream, together

OPTIONS: Final = ("ordinal_base", "clicks")
CLICKS: Final = ("click", "click_through")
RECORDS: Final = pa.schema(
    [
        ("query_id", pa.string()),
        ("action", pa.string()),  # impression, click, or "" for the query itself
        ("user_query", pa.string()),
        ("application", pa.string()),
        ("client", pa.string()),
        ("session", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("document", pa.string()),
        ("ordinal", pa.int64()),
        ("dwell_ms", pa.int64()),
        ("hits", pa.list_(pa.string())),
        ("attributes", pa.string()),  # JSON
    ]
)
_ROWS: Final = 8192


def read(files: list[Path], reading: Reading) -> Iterator[Page]:
    """The pages of all files together: queries and events may be in separate ones, in any order.

    Options: `ordinal_base`, 0 or 1, instead of finding out; `clicks`, the names of the actions that are clicks.
    """
    base = reading.options.get("ordinal_base")
    if base not in (None, 0, 1):
        raise InputError(f"The ordinals cannot count from {base}.", "Choose 0 or 1, or leave it out.")
    clicks = frozenset(reading.options.get("clicks") or CLICKS)
    ordinals = Ordinals(base)
    stream = Stream(RECORDS, _batches(files, clicks, ordinals, reading))
    # All rows have been seen before the first group comes, so the ordinals are known from then on.
    for number, (table,) in enumerate(together([stream], "query_id")):
        if number == 0:
            for line in ordinals.notes():
                reading.note(line)
        yield from pages_of(table, ordinals, reading)


def _batches(files: list[Path], clicks: frozenset[str], ordinals: Ordinals, reading: Reading) -> Iterator[Any]:
    rows: list[dict[str, Any]] = []
    for path in files:
        file = File(path)
        try:
            for line, index, record in records(file, reading):
                row = _row(path, line, index, record, clicks, reading)
                if row is None:
                    continue
                ordinals.see(row)
                rows.append(row)
                if len(rows) == _ROWS:
                    yield pa.RecordBatch.from_pylist(rows, RECORDS)
                    rows = []
        finally:
            file.close()
    yield pa.RecordBatch.from_pylist(rows, RECORDS)


def _row(
    path: Path, line: int, index: str, record: Mapping[str, Any], clicks: frozenset[str], reading: Reading
) -> dict[str, Any] | None:
    """One record in the columns of RECORDS; None for what is no query, impression or click, or has no query_id."""
    action = record.get("action_name")
    if action is None and "user_query" not in record and "query_response_hit_ids" not in record:
        reading.bad(path, line, f"a record of {index or 'UBI'} has neither an action_name nor a user_query")
        return None
    kind = "click" if action in clicks else action or ""
    if kind not in ("", "impression") and action not in clicks:
        reading.count("events of other actions")
        return None
    if not record.get("query_id"):
        reading.count("records without a query_id")
        return None
    row = {
        "query_id": str(record["query_id"]),
        "action": kind,
        "user_query": _text(record.get("user_query")),
        "application": _text(record.get("application")) or "",
        "client": _text(record.get("client_id")),
        "session": _text(record.get("session_id")),
        "time": _time(record.get("timestamp"), reading),
    }
    return {**row, **(_asked(record) if action is None else _acted(record, reading))}


def _asked(record: Mapping[str, Any]) -> dict[str, Any]:
    hits = record.get("query_response_hit_ids")
    attributes = record.get("query_attributes")
    return {
        "hits": [str(hit) for hit in hits if hit is not None] if isinstance(hits, list) else None,
        "attributes": json.dumps(attributes) if isinstance(attributes, dict) and attributes else None,
    }


def _acted(record: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    attributes = _table(record.get("event_attributes"))
    document = _text(_table(attributes.get("object")).get("object_id"))
    ordinal = _table(attributes.get("position")).get("ordinal")
    if isinstance(ordinal, dict):  # as versions before 1.2 nested it
        ordinal = ordinal.get("index")
    dwell = attributes.get("dwell_time")
    if document is None:
        reading.count("events without an object_id")
    return {
        "document": document,
        "ordinal": ordinal if isinstance(ordinal, int) and abs(ordinal) < 2**31 else None,
        "dwell_ms": round(1000 * dwell) if isinstance(dwell, int | float) and abs(dwell) < 1e12 else None,  # seconds
        "session": _text(record.get("session_id")) or _text(attributes.get("session_id")),
    }


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _time(value: Any, reading: Reading) -> datetime | None:
    """A time as ISO 8601 or as milliseconds since 1970; None, counted, for any other."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000, UTC)
        time = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        reading.count("times that cannot be read")
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)

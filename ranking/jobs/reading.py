"""The input of a re-ranking job as Arrow tables of rows, and cut into parts."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, groupby, islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from index.errors import InputError
from ranking.jobs.inputs import breaking_off, format_of, lines_of
from ranking.jobs.job import Part
from ranking.jobs.rows import ALIASES, FEEDBACK, ROWS, canonical, misshapen, misspelt
from ranking.jobs.storage import Place
from ranking.jobs.told import Told

_GROUPS: Final = 256  # row groups of a prepared file
_PAGES: Final = 2**18  # bytes read ahead of each column: without it a row group is read whole, however large
_JSON: Final = ("jsonl", "ndjson", "json")


def kind_of(files: Sequence[Place], topics: str | None) -> str:
    """ "parquet", "jsonl", "tsv" (queries alone), or "run" where topics say what its queries are.

    Raises InputError for files of several formats, or of none that is known.
    """
    endings = sorted({format_of(file) for file in files})
    if endings == ["parquet"]:
        return "parquet"
    if all(ending in _JSON for ending in endings):
        return "jsonl"
    if topics is not None:
        return "run"
    if endings == ["tsv"]:
        return "tsv"
    raise InputError(
        f"The input has files of {', '.join(ending or 'no ending' for ending in endings)}.",
        "Use .parquet, .jsonl or .tsv; a TREC run needs --topics.",
    )


def whole_groups(files: Sequence[Place], part_rows: int) -> list[Part] | None:
    """The row groups of Parquet files as parts, small neighbours joined up to `part_rows`; None where one is larger.

    Reads the files' footers only. Raises InputError for a file that is not Parquet or has no queries.
    """
    parts: list[Part] = []
    first = 0
    for file in files:
        with breaking_off(file):
            metadata = pq.read_metadata(file.open())
        _check_columns(file, metadata.schema.to_arrow_schema())
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if any(size > part_rows for size in sizes):
            return None
        groups: list[int] = []
        rows = 0
        for group, size in enumerate([*sizes, part_rows + 1]):
            if groups and rows + size > part_rows:
                parts.append(Part(len(parts), first, rows, _source(file, groups)))
                first, groups, rows = first + rows, [], 0
            groups, rows = [*groups, group], rows + size
    return parts


def prepare(
    tables: Iterable[pa.Table], folder: Place, advance: Callable[[int], None], stop: threading.Event
) -> list[Part]:
    """Write tables of rows as Parquet files, one row group each, and give them as parts."""
    parts: list[Part] = []
    first = 0
    stream = iter(tables)
    if folder.local is not None:
        folder.local.mkdir(parents=True, exist_ok=True)
    for number in count():
        some = islice(stream, _GROUPS)
        head = next(some, None)
        if head is None or stop.is_set():
            break
        file = folder / f"rows-{number:05d}.parquet"
        with file.system.open_output_stream(file.path) as sink, pq.ParquetWriter(sink, ROWS, compression="zstd") as out:
            for group, table in enumerate(chain([head], some)):
                out.write_table(table, row_group_size=len(table))
                parts.append(Part(len(parts), first, len(table), _source(file, [group])))
                first += len(table)
                advance(len(table))
                if stop.is_set():
                    break
    return parts


def read_part(part: Part, columns: Collection[str] = ROWS.names) -> pa.Table:
    """The rows of a part, or of them the columns of these names."""
    place = Place(part.source["root"], part.source["below"])
    with breaking_off(place):
        file = pq.ParquetFile(place.open(), pre_buffer=True)
        wanted = [name for name in file.schema_arrow.names if ALIASES.get(name, name) in columns]
        return canonical(file.read_row_groups(list(part.source["groups"]), columns=wanted))


def tables_of(
    kind: str, files: Sequence[Place], rows: int, queries: Mapping[str, str], told: Told | None
) -> Iterator[pa.Table]:
    """All rows of the input, `rows` at a time, with the feedback that is told."""
    if kind == "parquet":
        tables = _parquet_tables(files, rows)
    else:
        made = {"jsonl": _json_rows, "tsv": _tsv_rows}.get(kind)
        every = made(files) if made else _run_rows(files, queries)
        tables = map(_table, _lists(every, rows))
    return (_told(table, told) for table in tables) if told else tables


def _told(table: pa.Table, told: Told) -> pa.Table:
    """The table with what is known of its queries, where it says nothing itself."""
    own = table.column("feedback").to_pylist()
    ids, texts = lenient(table.column("query_id")), lenient(table.column("query"))
    column = [given or told.of(doc, text) for given, doc, text in zip(own, ids, texts, strict=True)]
    return table.set_column(table.column_names.index("feedback"), "feedback", pa.array(column, FEEDBACK))


def query_ids(part: Part) -> list[str | None]:
    """The ids of the queries of a part, in its order, as its rows will call them."""
    column = read_part(part, ("query_id",)).column("query_id")
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return lenient(column)
    return [None if name is None else str(name) for name in column.to_pylist()]


def lenient(column: Any) -> list[str | None]:
    """Texts; None for what is not UTF-8, of which the worker finds out."""
    values = column.cast(pa.binary()).to_pylist()
    return [None if value is None else value.decode("utf-8", "replace") for value in values]


def _parquet_tables(files: Sequence[Place], rows: int) -> Iterator[pa.Table]:
    """Tables of `rows` rows over the borders of row groups and files."""
    held: list[pa.Table] = []
    waiting = 0
    for file in files:
        with breaking_off(file):
            opened = pq.ParquetFile(file.open(), pre_buffer=False, buffer_size=_PAGES)
            _check_columns(file, opened.schema_arrow)
            wanted = [name for name in opened.schema_arrow.names if name in ROWS.names or name in ALIASES]
            for batch in opened.iter_batches(rows, columns=wanted):
                held.append(_filled(canonical(pa.Table.from_batches([batch])), file))
                waiting += len(batch)
                while waiting >= rows:
                    whole = pa.concat_tables(held)
                    yield whole.slice(0, rows)
                    held, waiting = [whole.slice(rows)], waiting - rows
    if waiting:
        yield pa.concat_tables(held)


def _filled(table: pa.Table, file: Place) -> pa.Table:
    """The table in the schema `ROWS`, nulls where it has no such column."""
    columns = []
    for column in ROWS:
        if column.name not in table.column_names:
            columns.append(pa.nulls(len(table), column.type))
            continue
        try:
            columns.append(table.column(column.name).cast(column.type, safe=False))
        except pa.ArrowException:
            kind = table.column(column.name).type
            raise InputError(
                f"{file}: the column {column.name} is {kind}.", f"It has to be {column.type}, or convertible to it."
            ) from None
    return pa.Table.from_arrays(columns, schema=ROWS)


def _json_rows(files: Sequence[Place]) -> Iterator[dict[str, Any]]:
    for file in files:
        for _, line in lines_of(file):
            if line.strip():
                yield _json_row(line)


def _json_row(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line.decode())
        if not isinstance(values, dict):
            return {"problem": "malformed: this is no JSON object"}
        if wrong := misspelt(values) or misshapen(values):
            return {"query_id": _named(values), "problem": f"malformed: {wrong}"}
        for other, ours in ALIASES.items():
            if ours not in values and other in values:
                values[ours] = values[other]
        for name in ("query_id", "query", "filter"):
            if values.get(name) is not None:
                values[name] = str(values[name])
        if values.get("documents"):
            values["documents"] = [None if doc is None else str(doc) for doc in values["documents"]]
        return {name: values.get(name) for name in ROWS.names if name != "problem"}
    except UnicodeDecodeError as error:
        return {"problem": f"bad UTF-8: byte {error.start} of the line: {error.reason}"}
    except json.JSONDecodeError as error:
        return {"problem": f"malformed: it is not JSON ({error.msg} at column {error.colno})"}


def _named(values: Mapping[str, Any]) -> str | None:
    """The row's query_id, in characters that can be stored."""
    names = ("query_id", *(other for other, ours in ALIASES.items() if ours == "query_id"))
    name = next((values[name] for name in names if values.get(name) is not None), None)
    return None if name is None else str(name).encode("utf-8", "replace").decode()


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table; one that does not fit the schema becomes its problem, and takes no others with it."""
    try:
        return pa.Table.from_pylist(rows, schema=ROWS)
    except (pa.ArrowException, UnicodeEncodeError, TypeError, ValueError) as error:
        if len(rows) > 1:
            return pa.concat_tables([_table([row]) for row in rows])
        bad = "bad UTF-8: a text holds half a surrogate pair" if isinstance(error, UnicodeEncodeError) else None
        problem = bad or f"malformed: {str(error).splitlines()[0]}"
        return _table([{"query_id": _named(rows[0]), "problem": problem}])


def _tsv_rows(files: Sequence[Place]) -> Iterator[dict[str, Any]]:
    for file in files:
        for _, line in lines_of(file):
            name, tab, text = line.partition(b"\t")
            try:
                if line.strip():
                    problem = None if tab else "malformed: there is no tab between id and query"
                    yield {"query_id": name.decode(), "query": text.decode(), "problem": problem}
            except UnicodeDecodeError as error:
                yield {"problem": f"bad UTF-8: byte {error.start} of a text: {error.reason}"}


def _run_rows(files: Sequence[Place], queries: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """One row per query of a TREC run; the lines of a query stand together."""
    for file in files:
        for topic, lines in groupby(_run_lines(file), key=lambda cells: cells[0]):
            yield _run_row(topic, list(lines), queries)


def _run_lines(file: Place) -> Iterator[tuple[str, str, float]]:
    for number, line in lines_of(file):
        cells = line.decode("utf-8", "replace").split()
        if not cells:
            continue
        try:
            topic, _, doc, _, score, _ = cells
            yield topic, doc, float(score)
        except ValueError:
            raise InputError(
                f"{file}:{number}: this is no line of a run.", "A run has 6 columns: topic Q0 document rank score tag."
            ) from None


def _run_row(topic: str, lines: Sequence[tuple[str, str, float]], queries: Mapping[str, str]) -> dict[str, Any]:
    problem = None
    if topic not in queries:
        problem = f"unknown topic: {topic} is not among the topics"
    elif not all(math.isfinite(score) for _, _, score in lines):
        problem = "malformed: a score is not finite"
    return {
        "query_id": topic,
        "query": queries.get(topic),
        "documents": [doc for _, doc, _ in lines],
        "scores": [score for _, _, score in lines],
        "problem": problem,
    }


def _check_columns(file: Place, schema: pa.Schema) -> None:
    names = {ALIASES.get(name, name) for name in schema.names}
    missing = [name for name in ("query_id", "query") if name not in names]
    if missing:
        raise InputError(
            f"{file} has no column {' and no column '.join(missing)}.",
            "Rows have query_id and query, and maybe documents, texts, scores, feedback, filter.",
        )
    if wrong := misspelt(schema.names):
        raise InputError(f"In {file} {wrong}", "Rename the column.")


def _source(file: Place, groups: Sequence[int]) -> dict[str, Any]:
    return {"root": file.root, "below": file.below, "groups": list(groups)}


def _lists(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    source = iter(items)
    while some := list(islice(source, size)):
        yield some

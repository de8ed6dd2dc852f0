"""Parquet: one record per row, read in small batches so that memory grows with its row groups and not with the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from index.readers.files import File
from index.readers.layout import Layout
from index.readers.records import Broken, Fault, Record

BATCH_ROWS: Final = 512


def read(file: File, layout: Layout) -> Iterator[Record | Fault]:
    """The rows of a file. Columns that can be no field (vectors, say) are not even read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file.seekable())
        schema = table.schema_arrow
        layout.check(schema.names, file.path)
        wanted = [column.name for column in schema if column.name in layout.columns or _usable(column)]
        for batch in _batches(table, wanted):
            columns = [(name, _values(column)) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
            for row in range(batch.num_rows):
                file.line += 1
                yield Record(file.line, {name: values[row] for name, values in columns})
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise Broken(f"it is no readable Parquet file ({error})") from error


def _batches(table: Any, columns: list[str]) -> Iterator[Any]:
    """The rows in small batches, asking for one row group at a time: else Arrow keeps all groups that it has read."""
    for group in range(table.num_row_groups):
        yield from table.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False)


def _usable(column: Any) -> bool:
    """Whether the values of a column can be a text or a field; of nested types lists of texts and `metadata`."""
    from pyarrow import types

    kind = column.type
    if types.is_struct(kind):
        return bool(column.name == "metadata")
    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind):
        return _is_text(kind.value_type)
    scalar = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    return scalar or _is_text(kind) or (types.is_temporal(kind) and not types.is_duration(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _values(column: Any) -> list[object]:
    """The values of a column as Python has them: texts, numbers, lists, dates as ISO 8601 text, None."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if _is_text(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        # By way of bytes, because Parquet files exist whose texts are no UTF-8: those the layout mends.
        raw = column.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    if types.is_struct(kind):
        members = zip(*map(_values, column.flatten()), strict=True)
        return [dict(zip(kind.names, row, strict=True)) for row in members]
    if types.is_timestamp(kind) and kind.unit == "ns":  # Python's datetimes end at microseconds
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    if types.is_temporal(kind) and not types.is_duration(kind):
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    if types.is_decimal(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]
    values: list[object] = column.to_pylist()
    return values

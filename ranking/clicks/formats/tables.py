"""One table in a file, Parquet or CSV, read in batches, its columns found by their role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from index.errors import InputError

_ROWS: Final = 65_536
_EPOCH_MS: Final = 10**11  # a number of seconds since 1970 stays below this for 3,000 years


class Source:
    """A file with a column for some of the roles.

    Raises InputError for a file that cannot be read, for two columns that may be the same role, for a column that was
    named and is missing, and where there is none for the page or the document.
    """

    def __init__(self, path: Path, usual: Mapping[str, Sequence[str]], given: Mapping[str, str]) -> None:
        self.path = path
        name = path.name.lower().removesuffix(".gz")
        self._parquet = name.endswith((".parquet", ".pq"))
        self._delimiter = "\t" if name.endswith(".tsv") else ","
        if not self._parquet and not name.endswith((".csv", ".tsv")):
            raise InputError(f"{path} is neither Parquet nor CSV by its name.", "Give it its ending, or a --format.")
        with self._guarded():
            names = self._names()
        self._roles = {role: self._found(role, choices, given, names) for role, choices in usual.items()}
        missing = [role for role in ("query_id", "document") if self._roles[role] is None]
        if missing:
            raise InputError(
                f"{path} has no column for the {missing[0]}; its columns are {', '.join(names)}.",
                f"Name it with --column {missing[0]}=NAME.",
            )

    def batches(self) -> Iterator[Any]:
        """Record batches of the columns that have a role."""
        wanted = list(dict.fromkeys(name for name in self._roles.values() if name is not None))
        with self._guarded():
            if self._parquet:
                with pq.ParquetFile(self.path) as file:
                    yield from file.iter_batches(_ROWS, columns=wanted)
                return
            # Names stay the text that they are: the document 007 is not the document 7.
            texts = {self._roles[role]: pa.string() for role in ("query_id", "query", "document") if self._roles[role]}
            convert = pacsv.ConvertOptions(
                include_columns=wanted, column_types=texts, strings_can_be_null=True, null_values=[""]
            )
            parsing = pacsv.ParseOptions(delimiter=self._delimiter)
            with pacsv.open_csv(self.path, parse_options=parsing, convert_options=convert) as reader:
                yield from reader

    def column(self, batch: Any, role: str, kind: Any) -> Any:
        """The column of a role as a type; empty where the table has none. Raises InputError for other values."""
        name = self._roles[role]
        if name is None:
            return pa.nulls(batch.num_rows, kind)
        values = batch.column(name)
        try:
            return _cast(values, kind)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(
                f"The column {name} of {self.path} is not usable as {role}: {reason}.",
                "Name another one with --column.",
            ) from error

    def lowest(self, role: str) -> int | None:
        """The lowest value of a column of whole numbers."""
        if self._roles[role] is None:
            return None
        found = [pc.min(self.column(batch, role, pa.int64())).as_py() for batch in self.batches()]
        return min((value for value in found if value is not None), default=None)

    def _names(self) -> list[str]:
        if self._parquet:
            return [str(name) for name in pq.read_schema(self.path).names]
        with pacsv.open_csv(self.path, parse_options=pacsv.ParseOptions(delimiter=self._delimiter)) as reader:
            return [str(name) for name in reader.schema.names]

    def _found(self, role: str, choices: Sequence[str], given: Mapping[str, str], names: Sequence[str]) -> str | None:
        if role in given:
            if given[role] not in names:
                raise InputError(f"{self.path} has no column {given[role]}.", f"Name one of {', '.join(names)}.")
            return given[role]
        known = [name for name in choices if name in names and name not in given.values()]
        return known[0] if known else None

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(f"{self.path} cannot be read: {reason}.", "Mend the file, or write it again.") from error


def _cast(values: Any, kind: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_timestamp(kind) and not pa.types.is_timestamp(values.type):
        if pa.types.is_integer(values.type):
            large = pc.greater_equal(values, _EPOCH_MS)
            seconds = pc.multiply(values.cast(pa.int64()), pc.if_else(large, 1000, 1_000_000))
            return seconds.cast(pa.timestamp("us")).cast(kind)
        if pa.types.is_floating(values.type):
            return pc.multiply(values, 1e6).cast(pa.int64(), safe=False).cast(pa.timestamp("us")).cast(kind)
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            return values.cast(pa.timestamp("us")).cast(kind)  # times without a zone are UTC
    if pa.types.is_boolean(values.type) and not pa.types.is_string(kind):
        values = values.cast(pa.int8())
    return values.cast(kind)

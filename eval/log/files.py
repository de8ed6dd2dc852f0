"""The columns of Parquet and CSV files, by way of Arrow: found by role, and only those read that are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from eval.log.labels import Column, FloatArray
from index.errors import InputError, NotFoundError

T = TypeVar("T")

USUAL: Final[Mapping[str, Sequence[str]]] = {
    "action": ("action", "document", "document_id", "doc_id", "item_id"),
    "reward": ("reward", "click", "clicked"),
    "propensity": ("propensity", "propensity_score", "pscore"),
    "position": ("position", "rank"),
    "page": ("page", "page_id", "impression", "impression_id"),
    "probability": ("probability",),
    "alpha": ("alpha",),
    "beta": ("beta",),
}
"""The names under which the column of a role is looked for."""


class Table:
    """A file of columns: `find` and `need` say which column has a role, `load` reads the ones that are wanted."""

    def __init__(
        self, path: Path, columns: Mapping[str, str] | None, roles: Iterable[str], *, strict: bool = True
    ) -> None:
        """Open a file. With `strict` a column of the mapping that it lacks is an error, else the usual names count.

        Raises NotFoundError for a missing file, InputError for one that cannot be read.
        """
        if not path.is_file():
            raise NotFoundError(f"There is no file {path}.", "Name a Parquet or CSV file.")
        self.path = path
        self._format = _format(path)
        self._values: dict[str, Any] = {}
        self.names = self._guarded(self._format.names)
        given = {role: name for role, name in (columns or {}).items() if role in roles}
        self._columns = {role: name for role, name in given.items() if strict or name in self.names}

    def find(self, role: str) -> str | None:
        """The column of a role; None where the mapping names none and the table has none of the usual names."""
        if role in self._columns:
            self._check([self._columns[role]])
            return self._columns[role]
        found = [name for name in USUAL[role] if name in self.names]
        if len(found) > 1:
            raise InputError(
                f"{self.path} has several columns that may be the {role}: {', '.join(found)}.",
                f"Choose one with --column {role}=NAME.",
            )
        return found[0] if found else None

    def need(self, role: str) -> str:
        """The column of a role that has to be there. Raises InputError."""
        name = self.find(role)
        if name is None:
            raise InputError(
                f"{self.path} has no column for the {role}; its columns are {_listed(self.names)}.",
                f"Say which one it is with --column {role}=NAME.",
            )
        return name

    def load(self, labels: Sequence[str | None], numbers: Sequence[str | None]) -> None:
        """Read these columns in one pass, for `labels` and `numbers` to give. Raises InputError for an unknown one."""
        texts = {name for name in labels if name is not None}
        wanted = list(dict.fromkeys(name for name in (*labels, *numbers) if name is not None))
        self._check(wanted)
        table = self._guarded(lambda path: self._format.read(path, wanted, texts))
        self._values = {name: table.column(name) for name in wanted}

    def labels(self, name: str, *, blank: bool = False) -> Column:
        """A loaded column as labels. Raises InputError for an empty label unless `blank` allows it."""
        values = self._guarded(lambda path: _texts(self._values[name])).combine_chunks().dictionary_encode()
        column = Column(tuple(values.dictionary.to_pylist()), values.indices.to_numpy().astype(np.int64))
        if not blank and "" in column.values:
            row = int((column.codes == column.values.index("")).argmax())
            raise InputError(f"Row {row + 1} of {self.path} has no {name}.", "Fill it in, or leave the row out.")
        return column

    def numbers(self, name: str) -> FloatArray:
        """A loaded column as numbers; a missing one is NaN. Raises InputError for text."""
        import pyarrow as pa

        values = self._values[name]
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_null(values.type)):
            raise InputError(f"The column {name} of {self.path} holds no numbers.", "Name a column of numbers.")
        return np.array(values.cast(pa.float64()).to_numpy(), dtype=np.float64)

    def _check(self, wanted: Iterable[str]) -> None:
        for name in wanted:
            if name not in self.names:
                raise InputError(
                    f"{self.path} has no column {name}; its columns are {_listed(self.names)}.", "Name one of them."
                )
            if self.names.count(name) > 1:
                raise InputError(f"{self.path} has several columns {name}.", "Give each column a name of its own.")

    def _guarded(self, read: Callable[[Path], T]) -> T:
        import pyarrow as pa

        try:
            return read(self.path)
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(
                f"{self.path} cannot be read as {self._format.label}: {reason}.", "Mend the file, or write it again."
            ) from error


class _Parquet:
    label = "Parquet"

    def names(self, path: Path) -> list[str]:
        import pyarrow.parquet as pq

        return [str(name) for name in pq.read_schema(path).names]

    def read(self, path: Path, columns: list[str], texts: set[str]) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(path).read(columns=columns)


class _Csv:
    label = "CSV"

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter

    def names(self, path: Path) -> list[str]:
        from pyarrow import csv

        with csv.open_csv(path, parse_options=csv.ParseOptions(delimiter=self._delimiter)) as reader:
            return [str(name) for name in reader.schema.names]

    def read(self, path: Path, columns: list[str], texts: set[str]) -> Any:
        import pyarrow as pa
        from pyarrow import csv

        # Labels stay the text that they are: the document 007 is not the document 7.
        convert = csv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(texts, pa.string()))
        parsing = csv.ParseOptions(delimiter=self._delimiter)
        return csv.read_csv(path, parse_options=parsing, convert_options=convert)


def _format(path: Path) -> _Parquet | _Csv:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        return _Parquet()
    if name.endswith((".csv", ".tsv")):
        return _Csv("\t" if name.endswith(".tsv") else ",")
    raise InputError(f"{path} is neither Parquet nor CSV by its name.", "Use a file that ends in .parquet or .csv.")


def _texts(values: Any) -> Any:
    """An Arrow column as text, the same for the same labels whatever their type; missing ones are empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
        if pc.all(pc.equal(pc.round(values), values)).as_py():
            values = values.cast(pa.int64())  # whole numbers beside missing ones, as pandas writes them
    return pc.fill_null(values.cast(pa.string()), "")


def _listed(names: Sequence[str], most: int = 12) -> str:
    """The first names of a long list."""
    shown = ", ".join(name or '""' for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"

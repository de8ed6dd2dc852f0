"""TSV and CSV: one record per row, with a header line or with a mapping of column numbers (`id=1 text=2`).

TSV knows no quotes, as MS MARCO has it. CSV does, and takes the delimiter from the header among comma, semicolon, tab
and bar (so quoted TSV is read as `csv`). An empty cell is no value. A further column whose first rows hold only numbers
is a number field and the others are keywords, unless the mapping gives the type (`year=published:number`). Numbers in
that sense are written as Python writes them, so that 007 and the version 3.10 stay keywords.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from typing import Final

from index.errors import InputError
from index.readers.files import MAX_LINE, File
from index.readers.layout import Layout
from index.readers.records import Fault, Record

SAMPLE_ROWS: Final = 1_000
SAMPLE_CHARACTERS: Final = 8_000_000
_NO_NUMBER: Final = {"nan", "inf", "-inf", "infinity", "-infinity"}

Row = tuple[int, list[str]]  # the line where it begins, and its cells


def read_csv(file: File, layout: Layout) -> Iterator[Record | Fault]:
    return _read(file, layout, _csv_rows(file))


def read_tsv(file: File, layout: Layout) -> Iterator[Record | Fault]:
    return _read(file, layout, _tsv_rows(file))


def _read(file: File, layout: Layout, rows: Iterator[Row | Fault]) -> Iterator[Record | Fault]:
    first = next(rows, None)
    if first is None:
        return
    if isinstance(first, Fault):
        yield first
        return
    numbered = bool(layout.columns) and all(column.isdecimal() for column in layout.columns)
    if numbered:
        names = [str(number) for number in range(1, len(first[1]) + 1)]
        rows = chain([first], rows)
    else:
        names = [name.strip() for name in first[1]]
        if len(set(names)) < len(names):
            raise InputError(f"{file.path} names a column twice in its header.", "Give each column its own name.")
    layout.check(names, file.path)
    sample, complete = _sample(rows)
    roles = layout.role_columns(names)
    fields = set(layout.columns if numbered else filter(None, names)) - roles
    numbers = _number_columns(sample, names, {name for name in fields if not layout.typed.get(name)})
    for row in chain(sample, () if complete else rows):
        yield row if isinstance(row, Fault) else _record(row, names, roles, fields, numbers)


def _record(row: Row, names: list[str], roles: set[str], fields: set[str], numbers: set[str]) -> Record | Fault:
    line, cells = row
    if len(cells) != len(names):
        return Fault(line, f"the row has {len(cells)} columns where {len(names)} are expected")
    values: dict[str, object] = {}
    for name, cell in zip(names, cells, strict=True):
        if name in roles:
            values[name] = cell
        elif cell and name in numbers:
            values[name] = _number(cell)
            if values[name] is None:
                return Fault(line, f"{cell[:40]!r} in the column {name}, whose first rows hold only numbers")
        elif cell and name in fields:
            values[name] = cell
    return Record(line, values)


def _sample(rows: Iterator[Row | Fault]) -> tuple[list[Row | Fault], bool]:
    """The first rows, and whether these are all."""
    sample: list[Row | Fault] = []
    size = 0
    for row in rows:
        sample.append(row)
        size += 0 if isinstance(row, Fault) else sum(map(len, row[1]))
        if len(sample) >= SAMPLE_ROWS or size > SAMPLE_CHARACTERS:
            return sample, False
    return sample, True


def _number_columns(sample: list[Row | Fault], names: list[str], among: set[str]) -> set[str]:
    """Those columns whose cells in the sample, empty ones aside, are all numbers, and one at least is a finite one."""
    found: set[str] = set()
    for place, name in enumerate(names):
        if name not in among:
            continue
        rows = (row[1] for row in sample if not isinstance(row, Fault) and len(row[1]) == len(names))
        cells = {cells[place] for cells in rows} - {""}
        if all(_number(cell) is not None for cell in cells) and any(cell.lower() not in _NO_NUMBER for cell in cells):
            found.add(name)
    return found


def _number(cell: str) -> int | float | None:
    """The number that a cell is, NaN and infinities (which the layout refuses) included; None for anything else."""
    if cell.lower() in _NO_NUMBER:
        return float(cell)
    for kind in (int, float):
        try:
            number = kind(cell)
        except ValueError:
            continue
        if str(number) == cell and abs(number) < 2**63:
            return number
    return None


def _tsv_rows(file: File) -> Iterator[Row | Fault]:
    for line in file.lines():
        if line.strip():
            yield file.line, line.rstrip("\r\n").split("\t")


def _csv_rows(file: File) -> Iterator[Row | Fault]:
    csv.field_size_limit(MAX_LINE)  # the default of 128 KiB is less than long documents have
    lines = file.lines()
    header = next(lines, "")
    delimiter = max(",;\t|", key=header.count)
    rows = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Fault(line, f"the row is not CSV ({error})")
            continue
        if any(cells):
            yield line, cells

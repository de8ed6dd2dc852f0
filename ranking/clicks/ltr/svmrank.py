"""SVMrank files: the format of the public learning-to-rank collections.

One pair per line, `GRADE qid:QUERY NUMBER:VALUE NUMBER:VALUE ... # DOCUMENT`. Features that are 0 may be left out, and
their number is their column. Where lines have no `qid`, a file `NAME.query` or `NAME.group` beside it says how many
lines each query has, one number per line (LightGBM, XGBoost). The document's name is the first word of the comment, or
what follows `docid =` there (LETOR); without a comment it is the line's number within its query, from 1.
"""

from __future__ import annotations

import math
import re
import zlib
from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from index.errors import InputError, NotFoundError, RecordError
from index.readers.files import File
from index.readers.reading import ReadReport
from index.readers.records import Broken
from ranking.clicks.ltr.features import Features, Judged

_DOCID = re.compile(r"\bdocid\s*=\s*(\S+)")
_MOST = 100_000  # columns: a larger number is a mistake, and would ask for all of the memory


def read_svmrank(
    path: str | Path,
    *,
    width: int | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    report: ReadReport | None = None,
) -> Judged:
    """Read a file, plain, .gz or .zst. `width` is the number of columns; by default one more than the largest number.

    Raises NotFoundError without a file; RecordError for a line that is not of the format, a feature that `width` has
    no column for, a query whose lines are not together, a document twice, or a file that breaks off. With
    `on_error="skip"` such lines are counted in `report` and left out. InputError where nothing is left.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", "Check the path.")
    found = _Collected(path, width, ReadReport() if report is None else report, on_error == "skip")
    sizes = _group_sizes(path)
    with closing(File(path)) as file:
        try:
            for line in file.lines():
                found.add(line, file.line)
        except (EOFError, OSError, zlib.error, Broken) as error:
            found.bad(file.line + 1, f"the file breaks off ({error})")
    return found.judged(sizes)


def write_svmrank(path: str | Path, judged: Judged) -> None:
    """Write what `read_svmrank` reads; features that are 0 are left out."""
    features = judged.features
    with open(path, "w", encoding="utf-8") as file:
        for row, (values, grade) in enumerate(zip(features.matrix, judged.grades, strict=True)):
            kept = np.flatnonzero(values)
            # float(str(x)) of a float32 is read back as the same float32.
            numbers = " ".join(f"{column}:{values[column]!s}" for column in kept)
            query = features.queries[features.query[row]]
            file.write(f"{grade:g} qid:{query} {numbers} # {features.documents[row]}\n")


@dataclass
class _Collected:
    """The file so far, as flat arrays: rows, their places in the file, and their features one after the other."""

    path: Path
    width: int | None
    report: ReadReport
    skip: bool
    place: int = -1  # of the line among the lines with a record, bad ones included: what group sizes count
    places: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))
    grades: array[float] = field(default_factory=lambda: array("f"))
    queries: list[str | None] = field(default_factory=list)
    documents: list[str | None] = field(default_factory=list)
    counts: array[int] = field(default_factory=lambda: array("q"))
    columns: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("f"))

    def bad(self, line: int, reason: str) -> None:
        problem = RecordError(str(self.path), line, reason, "Mend the line, or name an SVMrank file.")
        if not self.skip:
            raise problem
        self.report.skipped += 1
        if len(self.report.errors) < 10:
            self.report.errors.append(problem)

    def add(self, text: str, line: int) -> None:
        record, _, comment = text.partition("#")
        words = record.split()
        if not words:
            return
        self.place += 1
        try:
            grade = _grade(words[0])
            named = len(words) > 1 and words[1].startswith("qid:")
            columns, values = _numbers(words[2 if named else 1 :], self.width)
        except ValueError as error:
            self.bad(line, str(error))
            return
        self.grades.append(grade)
        self.queries.append(words[1][4:] if named else None)
        self.documents.append(_document(comment))
        self.places.append(self.place)
        self.lines.append(line)
        self.counts.append(len(columns))
        self.columns.extend(columns)
        self.values.extend(values)
        self.report.read += 1

    def judged(self, sizes: list[int] | None) -> Judged:
        """Queries and documents named and checked, features spread out."""
        if sizes is not None and sum(sizes) != self.place + 1:
            raise InputError(
                f"{self.path} has {self.place + 1:,} lines, and the sizes of its queries add up to {sum(sizes):,}.",
                "See that both files belong together.",
            )
        named = dict(self._pairs(sizes))
        if not named:
            raise InputError(f"{self.path} has no usable line.", "Each line is: GRADE qid:QUERY NUMBER:VALUE ...")
        width = self.width or max(self.columns, default=0) + 1
        matrix = np.zeros((len(self.grades), width), dtype=np.float32)
        rows = np.repeat(np.arange(len(self.grades)), np.asarray(self.counts))
        matrix[rows, np.asarray(self.columns, dtype=np.int64)] = np.asarray(self.values, dtype=np.float32)
        kept = list(named)
        queries = {query: code for code, query in enumerate(dict.fromkeys(query for query, _ in named.values()))}
        codes = np.array([queries[query] for query, _ in named.values()], dtype=np.int32)
        documents = tuple(document for _, document in named.values())
        grades = np.asarray(self.grades, dtype=np.float32)[kept]
        return Judged(Features(matrix[kept], codes, tuple(queries), documents), grades)

    def _pairs(self, sizes: list[int] | None) -> Iterator[tuple[int, tuple[str, str]]]:
        """(row, (query, document)) of the rows that stay."""
        group_of = None if sizes is None else np.repeat(np.arange(1, len(sizes) + 1), sizes)
        seen: set[str] = set()
        names: set[str] = set()
        current, number = None, 0
        for row, (place, line) in enumerate(zip(self.places, self.lines, strict=True)):
            query = self.queries[row] or (None if group_of is None else str(group_of[place]))
            if query is None:
                self.bad(line, "there is no qid:, and no file of query sizes beside it")
                continue
            if query != current:
                if query in seen:
                    self.bad(line, f"query {query} had ended: the lines of a query have to be together")
                    continue
                seen.add(query)
                current, number = query, 0
                names.clear()
            number += 1
            document = self.documents[row] or str(number)
            if document in names:
                self.bad(line, f"document {document} comes twice in query {query}")
                continue
            names.add(document)
            yield row, (query, document)


def _grade(word: str) -> float:
    try:
        grade = float(word)
    except ValueError:
        raise ValueError(f"the grade {word[:40]!r} is no number") from None
    if not 0 <= grade < math.inf:
        raise ValueError(f"the grade {word[:40]} is not 0 or more")
    return grade


def _numbers(words: list[str], width: int | None) -> tuple[list[int], list[float]]:
    """Columns and values. Raises ValueError for what is none, and for a column twice."""
    columns, values = [], []
    for word in words:
        column, colon, value = word.partition(":")
        try:
            columns.append(int(column))
            values.append(float(value))
        except ValueError:
            raise ValueError(f"{word[:40]!r} is no NUMBER:VALUE" if colon else f"{word[:40]!r} has no colon") from None
    if len(set(columns)) != len(columns):
        raise ValueError("a feature comes twice")
    if columns and min(columns) < 0:
        raise ValueError(f"feature {min(columns)} is negative")
    if columns and max(columns) >= (width or _MOST):
        most = f"the features end with {width - 1}" if width else f"more than {_MOST:,} are not read"
        raise ValueError(f"feature {max(columns)} is too large: {most}")
    if not all(map(math.isfinite, values)):
        raise ValueError("a value is not finite")
    return columns, values


def _document(comment: str) -> str | None:
    found = _DOCID.search(comment)
    words = comment.split(maxsplit=1)
    return found[1] if found else words[0] if words else None


def _group_sizes(path: Path) -> list[int] | None:
    """The numbers in the file beside it, None where there is none."""
    for ending in (".query", ".group"):
        beside = path.with_name(path.name + ending)
        if beside.is_file():
            words = beside.read_text(encoding="utf-8", errors="replace").split()
            if not all(word.isdecimal() for word in words):
                raise InputError(f"{beside} holds something that is no size.", "It has one whole number per query.")
            return [int(word) for word in words]
    return None

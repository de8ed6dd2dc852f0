"""Which column of a record is what, and whether its values make a document. The same rules for every format.

**Columns.** The id, title and text are found under their usual names (`ROLES`), or where the mapping says. In a mapping
`{"id": "docno", "text": "lead+body", "year": "published:number", "raw": ""}` several columns make up one text with `+`,
any further key is a field (`:number` and `:keyword` convert its values), and an empty column leaves that field out.

**Fields.** The members of `metadata` and every other column become fields: texts, numbers, booleans and lists of texts.
An object inside `metadata` is flattened by one level to `outer.inner`, and anything deeper is a bad record. Outside
`metadata`, objects and other lists (vectors, say) are left out. Null and the empty list are no value.

**Bad records** have no id; an id that is blank, longer than 512 characters or holds control characters; no text; or a
field that no index can hold: NaN, an infinity, an integer beyond 64 bits, a keyword beyond 32,766 bytes.

**Mended records** had a NUL, a lone surrogate or bytes that are no UTF-8 in their text: each becomes U+FFFD.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final

from index.errors import InputError
from index.readers.records import BadRecord
from index.types import Document, FieldValue, id_problem

ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("_id", "id", "docid", "docno", "doc_id"),
    "title": ("title", "headline"),
    "text": ("text", "contents", "content", "body"),
}
MAX_KEYWORD: Final = 32_766
"""Bytes of one term in Lucene."""

_MENDED: Final = re.compile(r"[\x00\ud800-\udfff]")


class Layout:
    """The roles of columns, from a mapping or by their usual names. Raises InputError for a mapping without sense."""

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        given = dict(columns or {})
        self.mapped = frozenset(given)
        # Each role: alternatives in order of preference, each a tuple of columns that belong together.
        self._roles: dict[str, list[tuple[str, ...]]] = {}
        for role, names in ROLES.items():
            spec = given.pop(role, None)
            if spec == "" and role == "id":
                raise InputError("The mapping gives the id no column.", "Name the column that holds the ids.")
            if spec is None:
                self._roles[role] = [(name,) for name in names]
            else:  # the whole name first: a column may have a plus sign in its name
                joined = [tuple(spec.split("+"))] if "+" in spec and role != "id" else []
                self._roles[role] = [(spec,), *joined] if spec else []
        self._left_out = {name for name, column in given.items() if not column}
        self._fields = {name: _typed(column) for name, column in given.items() if column}
        self.typed: Mapping[str, str] = dict(self._fields.values())
        """The columns that the mapping makes fields of, with `number`, `keyword` or nothing as their type."""
        roles = [names[-1] for role, names in self._roles.items() if role in self.mapped and names]
        self.columns = list(dict.fromkeys([*chain.from_iterable(roles), *self.typed]))
        """All columns that the mapping names, those of joined texts one by one."""

    def role_columns(self, columns: Iterable[str]) -> set[str]:
        """Those of a table's columns that hold its ids, titles and texts."""
        used: set[str] = set()
        for role in ROLES:
            self._find(role, dict.fromkeys(columns), used)
        return used

    def check(self, columns: Sequence[str], path: Path) -> None:
        """Refuse a table without the columns that this layout needs. Raises InputError."""
        present = set(columns)
        missing = [column for column in self.typed if column not in present]
        for role, names in self._roles.items():
            if names and not any(present.issuperset(alternative) for alternative in names):
                if role in self.mapped:
                    missing += [name for name in names[-1] if name not in present]
                elif role == "id":
                    missing.append("id")
        if not missing and not any(
            present.issuperset(names) for names in [*self._roles["title"], *self._roles["text"]]
        ):
            missing.append("text")
        if missing:
            raise InputError(
                f"{path} has no column {' or '.join(missing)}; its columns are {', '.join(columns)}.",
                "Say which columns hold what, as with --column id=docno --column text=body.",
            )

    def document(self, values: Mapping[str, object]) -> tuple[Document, bool]:
        """The document of a record, and whether its text had to be mended. Raises BadRecord."""
        mender = _Mender()
        used: set[str] = set()
        found = {role: self._find(role, values, used) for role in ROLES}
        identifier = _identifier(found["id"], self._roles["id"])
        if found["title"] is None and found["text"] is None:
            raise BadRecord(f"it has no text: {_either(self._roles['text'] or self._roles['title'])} is missing")
        title = " ".join(_texts("title", found["title"] or ()))
        text = "\n".join(_texts("text", found["text"] or ()))
        fields = {
            name: value
            for name, raw in self._named(values, used)
            if name not in self._left_out and (value := _value(name, raw, mender)) is not None
        }
        return Document(identifier, mender(title), mender(text), fields), mender.mended

    def _find(self, role: str, values: Mapping[str, object], used: set[str]) -> list[object] | None:
        for names in self._roles[role]:
            if present := [name for name in names if name in values]:
                used.update(present)
                return [values[name] for name in present]
        return None

    def _named(self, values: Mapping[str, object], used: set[str]) -> Iterator[tuple[str, object]]:
        """The fields of a record by their names, not yet checked."""
        metadata = values.get("metadata")
        for column, value in values.items():
            if column in used or column in self.typed:
                continue
            if column == "metadata" and isinstance(metadata, dict):
                yield from _flat(metadata)
            elif not isinstance(value, dict) and not (
                isinstance(value, list | tuple) and any(not isinstance(part, str) for part in value)
            ):
                yield column, value
        for name, (column, kind) in self._fields.items():
            yield name, _converted(name, values.get(column), kind)


class _Mender:
    """Replaces what no index can hold in a text, and remembers that it had to."""

    mended = False

    def __call__(self, text: str) -> str:
        if "\0" not in text and (text.isascii() or not _MENDED.search(text)):
            return text
        self.mended = True
        return _MENDED.sub("\ufffd", text)


def _either(names: Iterable[tuple[str, ...]]) -> str:
    return " or ".join(dict.fromkeys("+".join(columns) for columns in names))


def _typed(spec: str) -> tuple[str, str]:
    column, colon, kind = spec.rpartition(":")
    return (column, kind) if colon and kind in ("number", "keyword") else (spec, "")


def _identifier(found: list[object] | None, names: Iterable[tuple[str, ...]]) -> str:
    value = found[0] if found else None
    if value is None:
        raise BadRecord(f"it has no id: {_either(names)} is missing")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadRecord(f"its id is {_kind(value)}, not a text")
    if not value.strip():
        raise BadRecord("its id is empty")
    if problem := id_problem(value):
        raise BadRecord(problem)
    return value


def _texts(role: str, values: Iterable[object]) -> Iterator[str]:
    """The parts of a title or text that are not empty; numbers count as texts."""
    for value in values:
        if isinstance(value, str):
            if value:
                yield value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield str(value)
        elif value is not None:
            raise BadRecord(f"its {role} is {_kind(value)}, not a text")


def _flat(metadata: Mapping[object, object]) -> Iterator[tuple[str, object]]:
    for name, value in metadata.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", part) for inner, part in value.items())
        else:
            yield str(name), value


def _converted(name: str, value: object, kind: str) -> object:
    """A value in the type that the mapping gives its column."""
    if kind == "keyword" and isinstance(value, int | float):
        return str(value)
    if kind == "number" and isinstance(value, str):
        for number in (int, float):
            with suppress(ValueError):
                return number(value)
        raise BadRecord(f"its field {name} is no number: {value[:40]!r}")
    return value


def _value(name: str, value: object, mender: _Mender) -> FieldValue | None:
    """A field's value as an index can hold it; None where there is none."""
    _check_name(name)
    match value:
        case None | bool():
            return value
        case int():
            if -(2**63) <= value < 2**63:
                return value
            raise BadRecord(f"its field {name} does not fit into 64 bits")
        case float():
            if math.isfinite(value):
                return value
            raise BadRecord(f"its field {name} is {'NaN' if math.isnan(value) else 'infinite'}")
        case str():
            return _keyword(name, mender(value))
        case list() | tuple():
            if all(isinstance(part, str) for part in value):
                return tuple(_keyword(name, mender(part)) for part in value) or None
    raise BadRecord(f"its field {name} is {_kind(value)}, not a text, a number or a list of texts")


@lru_cache(maxsize=4096)
def _check_name(name: str) -> None:
    if id_problem(name):  # what is no id is no name either
        raise BadRecord(f"{name[:40]!r} is no name for a field")


def _keyword(name: str, value: str) -> str:
    if len(value) * 4 > MAX_KEYWORD and len(value.encode()) > MAX_KEYWORD:
        raise BadRecord(
            f"its field {name} is longer than {MAX_KEYWORD:,} bytes: map it to the text, or leave it out with {name}="
        )
    return value


def _kind(value: object) -> str:
    """A value's type in the words of JSON, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case dict():
            return "an object"
        case list() | tuple():
            return "a list" if all(isinstance(part, str) for part in value) else "a list of other things than texts"
    return f"of type {type(value).__name__}"
